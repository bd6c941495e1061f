"""HTTP/1.1 by httptools, with an end to what a caller can make it keep in memory.

It refuses unknown methods, which h11 would let into a label. But it holds a request's head, and
the trailers after a chunked body, until they are whole, and knows no limit: one connection that
sends a header without end would fill the machine.
"""

import asyncio
import math
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from project.api.middleware import DISCARD_BYTES, DISCARD_SECONDS
from project.errors import Overloaded

HEAD_BYTES = 1 << 16  # as Uvicorn's other parser, h11, has it
PIECE_BYTES = 1 << 20  # of a body, before the application sees any of it
CLOSE = (b"connection", b"close")

Refusal = Callable[[bytes, bytes, list[tuple[bytes, bytes]], int | None], bytes | None]


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a caller whose bytes bring neither a whole head nor a body for too long."""

    changed: Callable[[], object] | None = None  # called when a connection has come or gone
    refusal: Refusal | None = None  # asked for each head: see Door
    pause_seconds = 0.0  # for which a connection that was refused twice in no time is not read
    _fruitless = 0  # bytes since a head ended or a piece of a body came
    _refused = False  # the request whose body is coming
    _thrown = 0  # bytes of that body
    _refused_at = -math.inf  # the last time, or when it was heard again
    _closes = False  # the connection, once that body is in
    _patience: asyncio.TimerHandle | None = None  # with that body
    _pause: asyncio.TimerHandle | None = None  # before it is read again

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection has come."""
        super().connection_made(transport)
        self._expect_more()
        if self.changed:
            self.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        for timer in (self._patience, self._pause):
            if timer:
                timer.cancel()
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
        """A connection on which nothing happens has its end, whatever came or did not come."""
        cycle = self.cycle
        idle = cycle is None or (cycle.response_complete and not self.pipeline)
        if idle and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self._refused and self._patience is None:
            self._patience = self.loop.call_later(DISCARD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._fruitless = 0
        if self.transport.is_closing():
            self._refused = True  # what comes after the last answer is not looked at
        elif not self._is_refused():
            super().on_headers_complete()

    def _is_refused(self) -> bool:
        """Ask the door; who sent before he had read our last answer goes the slow way instead."""
        busy = self.cycle is not None and not self.cycle.response_complete
        behind = self._pause is not None or self.flow.write_paused
        upgrade = self.parser.should_upgrade() and self._should_upgrade()
        if busy or behind or upgrade or self.refusal is None:
            return False
        port = self.server[1] if self.server else None
        refusal = self.refusal(self.parser.get_method(), self.url, self.headers, port)
        if refusal is not None:
            self._refuse(refusal)
        return refusal is not None

    def _refuse(self, refusal: bytes) -> None:
        """Answer without the application; the body is thrown away as it comes.

        A connection that should end does so after the body: one that closes on unread bytes is
        torn down, and a client still sending would never see the refusal.
        """
        own = self.server_state.default_headers
        persistent = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self._closes = not persistent or self.expect_100_continue or CLOSE in own
        lines = [b"%s: %s\r\n" % header for header in own]
        if self._closes and CLOSE not in own:
            lines.append(b"%s: %s\r\n" % CLOSE)
        self.transport.write(b"".join((STATUS_LINE[Overloaded.status], *lines, refusal)))
        self._refused, self._thrown = True, 0
        if self.expect_100_continue:  # it was never told to send
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """A piece of the body came. Uvicorn would wake the application for each, of 64 KiB."""
        self._fruitless = 0
        cycle = self.cycle
        if self._refused:
            self._thrown += len(body)
            if self._thrown > DISCARD_BYTES:
                self.transport.close()
            return
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
        if not self._refused:
            super().on_message_complete()
            return
        self._refused = False
        if self._patience:
            self._patience.cancel()
            self._patience = None
        if self._closes or self.transport.is_closing():
            self.transport.close()
            return
        now = self.loop.time()
        if now - self._refused_at < self.pause_seconds:
            self.flow.pause_reading()
            self._pause = self.loop.call_later(self.pause_seconds, self._read_again)
        self._refused_at = now

    def _read_again(self) -> None:
        """Hear a caller again who was refused and asked at once."""
        self._pause = None
        self._refused_at = self.loop.time()
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP, unless they follow an answer as part of its request."""
        if self._refused:
            self.transport.close()
        else:
            super().send_400_response(msg)
