"""Accepts connections so that all workers have about as many.

Workers share one listening socket, and the kernel lets whichever is awake accept: of four
connections that stay open, one worker may get all four, and half of the machine is idle. Here a
worker that has more than another leaves a new connection to it for a moment, and accepts it only
if no other did.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from ssl import SSLContext

from loguru import logger

DEFER_SECONDS = 0.005  # the event loop of the other worker may be busy
RETRY_SECONDS = 1.0  # after an accept without descriptors or memory, as asyncio has it
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """Accepts on one socket; ends like an asyncio.Server, which Uvicorn expects.

    defer: called before each accept; returns whether another worker should have the connection.
    defer_seconds: for how long it may. retry_seconds: after an accept that failed.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        ssl: SSLContext | None,
        defer: Callable[[], bool],
        *,
        defer_seconds: float = DEFER_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._sock = sock
        self._protocol = protocol
        self._ssl = ssl
        self._defer = defer
        self._defer_seconds = defer_seconds
        self._retry_seconds = retry_seconds
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def opening(self) -> int:
        """Connections that are accepted and have no protocol yet."""
        return len(self._opening)

    def start(self) -> None:
        """Begin to accept."""
        self._timer = None
        self._loop.add_reader(self._sock, self._on_readable)

    def close(self) -> None:
        """Accept no more; accepted connections are served."""
        self._loop.remove_reader(self._sock)
        if self._timer:
            self._timer.cancel()

    async def wait_closed(self) -> None:
        """Wait until every accepted connection has its protocol, which the server then ends."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _on_readable(self) -> None:
        if self._defer():
            self._pause(self._defer_seconds, self._accept_deferred)
        else:
            self._accept()

    def _pause(self, seconds: float, resume: Callable[[], None]) -> None:
        self._loop.remove_reader(self._sock)
        self._timer = self._loop.call_later(seconds, resume)

    def _accept_deferred(self) -> None:
        """Accept the connection if no other worker did, and listen again."""
        self.start()
        self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            logger.bind(reason=error.strerror).error("connection_not_accepted")
            self._pause(self._retry_seconds, self.start)
            return
        connection.settimeout(0)
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._ssl)
        except OSError as error:  # the handshake failed, or the client has gone
            logger.bind(reason=str(error)).debug("connection_not_opened")
            connection.close()
