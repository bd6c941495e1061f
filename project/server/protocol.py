"""HTTP/1.1 by httptools, with an end to what a caller can make it keep in memory.

It refuses unknown methods, which h11 would let into a label. But it holds a request's head, and
the trailers after a chunked body, until they are whole, and knows no limit: one connection that
sends a header without end would fill the machine.
"""

from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 1 << 16  # as Uvicorn's other parser, h11, has it
PIECE_BYTES = 1 << 20  # of a body, before the application sees any of it


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a caller whose bytes bring neither a whole head nor a body for too long."""

    lost: Callable[[], object] | None = None  # called when the connection has ended
    _fruitless = 0  # bytes since a head ended or a piece of a body came

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        if self.lost:
            self.lost()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, whose callbacks below tell whether anything came of it."""
        self._fruitless += len(data)
        super().data_received(data)
        if self._fruitless > HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.send_400_response("The head of the request is too large.")
            else:  # an answer may be half out: only breaking the connection tells so
                self.transport.close()

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
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._fruitless = 0
        super().on_message_complete()
