"""HTTP/1.1 by httptools, with limits on what a connection can keep in memory.

httptools rejects unknown methods, which h11 would let into a label. But it holds a request's head,
and the trailers after a chunked body, until they are complete, without a limit: one connection
that sends an endless header would fill the memory. Each head passes the overload check here, and
an overload is answered without the application. No request gets two answers: where a part of one
may be sent, malformed or late bytes close the connection.
"""

import asyncio
import math
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from project.api.body_limit import DISCARD_BYTES, DISCARD_SECONDS
from project.api.server_interface import Headers
from project.errors import Overloaded
from project.server import rejection
from project.server.websocket import BoundedWebSocket

HEAD_BYTES = 1 << 16  # limit of a request's head, equal to that of h11, Uvicorn's other parser
PIECE_BYTES = 1 << 20  # size of a body's piece that wakes the application
CLOSE = (b"connection", b"close")

CheckOverload = Callable[[bytes, bytes, Headers, int | None], Overloaded | None]


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose bytes bring neither a complete head nor a body for too long.

    on_connections_changed: called when a connection is made or lost. check_overload: called for
    each head, as ServedApplication.overload. pause_seconds: length of the pause in reading from a
    connection after two rejections in less time than that. arrival_seconds: for a head to arrive
    once it has begun; a body has as long, and discard_seconds for the rest of a rejected one.
    cors_origins: those whose pages may read a rejection.
    """

    on_connections_changed: Callable[[], object] | None = None
    check_overload: CheckOverload | None = None
    pause_seconds = 0.0
    arrival_seconds = math.inf
    discard_seconds = DISCARD_SECONDS
    cors_origins: tuple[str, ...] = ()
    _pending_bytes = 0  # since the last head or piece of a body was complete
    _rejected = False  # the request whose body arrives now
    _discarded_bytes = 0  # of that body
    _rejected_at = -math.inf  # the last time, or when reading was resumed after it
    _close_after_body = False
    _discard_timer: asyncio.TimerHandle | None = None  # ends the reading of that body
    _pause_timer: asyncio.TimerHandle | None = None  # resumes reading
    _arriving = False  # a request whose first byte is here and whose last is not
    _in_body = False  # of that request, the head is complete
    _arrival_timer: asyncio.TimerHandle | None = None  # ends a request that arrives too slowly
    _upgraded = False  # the connection belongs to another protocol now

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the idle time-out."""
        super().connection_made(transport)
        self._start_timers()
        if self.on_connections_changed:
            self.on_connections_changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        super().connection_lost(exc)
        for timer in (self._discard_timer, self._pause_timer, self._arrival_timer):
            if timer:
                timer.cancel()
        if self.on_connections_changed:
            self.on_connections_changed()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, whose callbacks below note what became complete."""
        self._pending_bytes += len(data)
        super().data_received(data)
        if self._pending_bytes > HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.send_400_response("The head of the request is too large.")
            else:  # a part of a response may be sent: only closing shows that it is incomplete
                self.transport.close()
        self._start_timers()

    def _start_timers(self) -> None:
        """Start those that end an idle connection, a slow request, and a rejected body."""
        if self._upgraded:  # a WebSocket has pings of its own
            return
        cycle = self.cycle
        idle = cycle is None or (cycle.response_complete and not self.pipeline)
        if idle and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self._rejected and self._discard_timer is None:
            self._discard_timer = self.loop.call_later(self.discard_seconds, self.transport.close)
        if self._arriving and self._arrival_timer is None and self.arrival_seconds < math.inf:
            seconds = self.arrival_seconds + (self.discard_seconds if self._in_body else 0)
            self._arrival_timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_arrival_timer(self) -> None:
        if self._arrival_timer:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def on_message_begin(self) -> None:
        """Note that a request arrives."""
        self._arriving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Reject the request under overload; else start the application."""
        self._pending_bytes = 0
        self._in_body = True
        self._stop_arrival_timer()
        if self.transport.is_closing():
            self._rejected = True  # what follows the last response is ignored
        elif not self._reject():
            super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the protocol of WebSockets, which counts it as well."""
        self._upgraded = True
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if isinstance(protocol, BoundedWebSocket):
            protocol.on_connections_changed = self.on_connections_changed

    def _reject(self) -> bool:
        """Reject the request under overload, and return whether that was so.

        Pipelined requests take the normal path, and so do those of a client that does not read.
        """
        busy = self.cycle is not None and not self.cycle.response_complete
        behind = self._pause_timer is not None or self.flow.write_paused
        upgrade = self.parser.should_upgrade() and self._should_upgrade()
        if busy or behind or upgrade or self.check_overload is None:
            return False
        port = self.server[1] if self.server else None
        overload = self.check_overload(self.parser.get_method(), self.url, self.headers, port)
        if overload is not None:
            self._send_rejection(overload)
        return overload is not None

    def _send_rejection(self, overload: Overloaded) -> None:
        """Respond without the application, and discard the body as it arrives.

        A connection that should close does so after the body: closing with unread bytes resets the
        connection, and a client that still sends would never see the response.
        """
        own = self.server_state.default_headers
        persistent = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self._close_after_body = not persistent or self.expect_100_continue or CLOSE in own
        if self._close_after_body and CLOSE not in own:
            own = [*own, CLOSE]
        answer = rejection.render(overload, self.headers, own, self.cors_origins)
        self.transport.write(answer)
        self._rejected, self._discarded_bytes = True, 0
        if self.expect_100_continue:  # the client got no 100 Continue, so it sends no body
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body. Uvicorn would wake the application for each, of 64 KiB."""
        self._pending_bytes = 0
        cycle = self.cycle
        if self._rejected:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > DISCARD_BYTES:
                self.transport.close()
            return
        if cycle is None or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > PIECE_BYTES:
            self.flow.pause_reading()
        elif not cycle.response_started:  # after that BodyLimit discards it, and times each piece
            return
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """End the request; after a rejection, close the connection or pause reading if due."""
        self._pending_bytes = 0
        self._arriving = self._in_body = False
        self._stop_arrival_timer()
        if not self._rejected:
            super().on_message_complete()
            return
        self._rejected = False
        if self._discard_timer:
            self._discard_timer.cancel()
            self._discard_timer = None
        if self._close_after_body or self.transport.is_closing():
            self.transport.close()
            return
        now = self.loop.time()
        if now - self._rejected_at < self.pause_seconds:
            self.flow.pause_reading()
            self._pause_timer = self.loop.call_later(self.pause_seconds, self._resume_reading)
        self._rejected_at = now

    def _resume_reading(self) -> None:
        """Read again from a client that was rejected and retried at once."""
        self._pause_timer = None
        self._rejected_at = self.loop.time()
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Respond to malformed bytes; where that could be a second answer, only close."""
        cycle = self.cycle
        waits = self._in_body and not self.pipeline  # the body's own request, and no earlier one
        unanswered = cycle is None or (
            not cycle.response_started if waits else cycle.response_complete
        )
        if self._rejected or not unanswered:
            self.transport.close()
        else:
            super().send_400_response(msg)
