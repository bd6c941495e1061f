"""Accepts connections so that all workers have about as many.

Workers share one listening socket, and the kernel lets whoever is awake take what comes: of four
connections that stay open, one worker may get all four, and half of the machine stands idle. Here
a worker that has more than another leaves a new connection to it for a moment, and takes it only
if nobody did.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from ssl import SSLContext

from loguru import logger

MOMENT = 0.005  # seconds; the other worker's loop may be at something
REST_SECONDS = (
    1.0  # after an accept that failed for want of descriptors or memory, as asyncio has it
)
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """Accepts on one socket; looks like an asyncio.Server to who ends it.

    leave: asked before each connection, whether another worker should have it.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        ssl: SSLContext | None,
        leave: Callable[[], bool],
    ) -> None:
        self._sock = sock
        self._protocol = protocol
        self._ssl = ssl
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def opening(self) -> int:
        """Connections that were accepted and have no protocol yet."""
        return len(self._opening)

    def start(self) -> None:
        """Begin to accept."""
        self._timer = None
        self._loop.add_reader(self._sock, self._come)

    def close(self) -> None:
        """Accept no more; what was accepted is served."""
        self._loop.remove_reader(self._sock)
        if self._timer:
            self._timer.cancel()

    async def wait_closed(self) -> None:
        """Wait until everything accepted has its protocol, which its owner ends."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _come(self) -> None:
        if self._leave():
            self._pause(MOMENT, self._take)
        else:
            self._accept()

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._sock)
        self._timer = self._loop.call_later(seconds, then)

    def _take(self) -> None:
        """Nobody else may have taken it: take it, and listen again."""
        self.start()
        self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the caller has gone
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            logger.bind(reason=error.strerror).error("connection_not_accepted")
            self._pause(REST_SECONDS, self.start)
            return
        connection.settimeout(0)
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._ssl)
        except OSError as error:  # a handshake that failed, a caller who has gone
            logger.bind(reason=str(error)).debug("connection_not_opened")
            connection.close()
