"""HTTP/1.1 by httptools, with an end to what a caller can make it keep in memory.

It refuses unknown methods, which h11 would let into a label. But it holds a request's head, and
the trailers after a chunked body, until they are whole, and knows no limit: one connection that
sends a header without end would fill the machine.
"""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 1 << 16  # as Uvicorn's other parser, h11, has it
PIECE_BYTES = 1 << 20  # of a body, before the application sees any of it


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a caller whose bytes bring neither a whole head nor a body for too long."""

    changed: Callable[[], object] | None = None  # called when a connection has come or gone
    _fruitless = 0  # bytes since a head ended or a piece of a body came

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection has come."""
        super().connection_made(transport)
        if self.changed:
            self.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        if self.changed:
            self.changed()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, whose callbacks below tell whether anything came of it."""
        self._fruitless += len(data)
        super().data_received(data)
        if self._fruitless > HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.send_400_response("The head of the request is too large.")
            else:  # an answer may be half out: only breaking the connection tells so
                self.transport.close()
        self._expect_more()

    def _expect_more(self) -> None:
        """After an answer to a request whose body came later: an idle connection has its end."""
        answered = self.cycle is not None and self.cycle.response_complete and not self.pipeline
        if answered and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._fruitless = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body came. Uvicorn would wake the application for each, of 64 KiB."""
        self._fruitless = 0
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > PIECE_BYTES:
            self.flow.pause_reading()
        elif not cycle.response_started:  # else it is thrown away, and silence is measured
            return
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._fruitless = 0
        super().on_message_complete()
