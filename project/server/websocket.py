"""WebSockets by Uvicorn's protocol on `websockets`, with an end that no client can delay.

Uvicorn closes a transport and waits until what it holds is sent: a client that does not read would
hold its socket for as long as it likes, and a shutdown with it. Here such a connection is aborted:
at a ping that is not answered, at the shutdown, a while after the application is done with it, and
where it sends pings without reading their answers.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

ABORT_SECONDS = 1.0  # at the shutdown, for the close frame to be read
CLOSE_SECONDS = 12.0  # for a closing handshake, which Uvicorn itself ends after 10 s
PING_SECONDS = 20.0  # between two pings, and for the answer to one
MAX_UNREAD_PONGS = 1 << 18  # bytes
INVALID_TEXT = 1007


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Serves one upgraded connection.

    on_connections_changed: called when the connection is lost. abort_seconds, close_seconds: see
    ABORT_SECONDS and CLOSE_SECONDS.
    """

    on_connections_changed: Callable[[], object] | None = None
    abort_seconds = ABORT_SECONDS
    close_seconds = CLOSE_SECONDS

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(config, server_state, app_state)
        # Its handshake line has the path and the query, which the client chooses.
        self.logger = logging.getLogger("uvicorn.websocket")
        self._abort_timer: asyncio.TimerHandle | None = None
        self._unread_pongs = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, and have the connections counted again."""
        super().connection_lost(exc)
        if self._abort_timer:
            self._abort_timer.cancel()
        if self.on_connections_changed:
            self.on_connections_changed()

    def handle_ping(self) -> None:
        """Answer a ping; abort where too many answers wait to be read.

        Pongs alone count, as a client that is busy reading a large message may well send a ping.
        """
        unread = self.transport.get_write_buffer_size()
        super().handle_ping()
        pongs = self.transport.get_write_buffer_size() - unread
        self._unread_pongs = pongs + (self._unread_pongs if unread else 0)
        if self._unread_pongs > MAX_UNREAD_PONGS:
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Pass a message on; text that is no UTF-8 closes with 1007, without a line in the log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(INVALID_TEXT)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def receive(self) -> ASGIReceiveEvent:
        """Receive a message; a disconnection has `by_client`: whether its close frame is the cause.

        Its code says nothing of that: Uvicorn has 1005 for a lost connection as for a close frame
        without a code, and a client may close with the codes that are ours.
        """
        message = await super().receive()
        if message["type"] != "websocket.disconnect":
            return message
        by_client = bool(self.conn.close_rcvd_then_sent) and self.conn.parser_exc is None
        return cast("ASGIReceiveEvent", {**message, "by_client": by_client})

    async def send(self, message: ASGISendEvent) -> None:
        """Send what the application sends; a complete HTTP answer ends the handshake too.

        Uvicorn would log an error for each handshake that is answered so.
        """
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        """Close at an unanswered ping; abort where the client does not read either."""
        super().keepalive_timeout()
        self._abort_unread()

    def shutdown(self) -> None:
        """Close with 1012, and abort a while later if that is not read."""
        super().shutdown()
        self._abort_after(self.abort_seconds)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Note that the application is done: the connection has to end as well."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._abort_after(self.close_seconds)

    def _abort_after(self, seconds: float) -> None:
        """Abort after so many seconds, or earlier where that is planned already."""
        due = self.loop.time() + seconds
        if self._abort_timer and self._abort_timer.when() <= due:
            return
        if self._abort_timer:
            self._abort_timer.cancel()
        self._abort_timer = self.loop.call_at(due, self.transport.abort)

    def _abort_unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
