"""Our Uvicorn worker: it drains before it stops, and its heart beats while models load.

Draining means: /ready turns red, every answer closes its connection, and only then, after
SHUTDOWN_DELAY_SECONDS, the socket is closed, idle connections may come once more, and what still
runs is waited for. A worker that is merely being replaced (SIGHUP, `max_requests`) leaves the
socket to its siblings at once and stays green, since the service goes on.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from gunicorn.arbiter import Arbiter
from uvicorn.config import Config
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from project.server.hooks import generation
from project.settings import load_settings

LINGER_SECONDS = 1.0  # idle connections have this long to come once more, and be told to close
MARGIN_SECONDS = 2  # before Gunicorn's graceful_timeout, so that the lifespan's end still runs
BEAT_SECONDS = 1.0


class DrainingServer(Server):
    """A Uvicorn server that turns connections away politely before it closes them.

    replaced: whether this worker only makes way for another. red: turns /ready red.
    delay: seconds to go on serving after SIGTERM.
    """

    def __init__(
        self,
        config: Config,
        *,
        replaced: Callable[[], bool],
        red: Callable[[], None],
        delay: float,
    ) -> None:
        super().__init__(config)
        self._replaced = replaced
        self._red = red
        self._delay = delay
        self._listen_until: float | None = None
        self._linger_until: float | None = None
        self._told_to_stop = False
        self._impatient = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal; an impatient one (Ctrl-C, SIGQUIT) skips the draining."""
        self._told_to_stop = True
        if sig != signal.SIGTERM:
            self._impatient = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: Any = None) -> None:
        """Run the lifespan's start, which loads the models, with the heart beating."""
        heart = asyncio.create_task(self._beat())
        try:
            await super().startup(sockets)
        finally:
            heart.cancel()

    async def _beat(self) -> None:
        while self.config.callback_notify is not None:
            await self.config.callback_notify()
            await asyncio.sleep(BEAT_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the serving."""
        if not await super().on_tick(counter):
            return False
        now = time.monotonic()
        if self._listen_until is None:
            self._listen_until = now + self._begin_to_drain()
        if self._impatient:
            return True
        if now < self._listen_until:
            return False
        if self._linger_until is None:
            self._linger_until = now + LINGER_SECONDS
            for server in self.servers:
                server.close()
        return now >= self._linger_until or not self.server_state.connections

    def _begin_to_drain(self) -> float:
        """Returns for how many seconds to go on listening."""
        self.should_exit = True  # or Uvicorn says at every tick that max_requests is reached
        self.config.encoded_headers.append((b"connection", b"close"))
        self.server_state.default_headers = [
            *self.server_state.default_headers,
            (b"connection", b"close"),
        ]
        if self._replaced() or not self._told_to_stop:
            return 0.0
        self._red()
        return self._delay


class VitrineWorker(UvicornWorker):  # type: ignore[misc]  # it carries no types
    """Gunicorn's `worker_class`. It takes what it must know from the settings of the arbiter."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.CONFIG_KWARGS = {
            "loop": "uvloop",
            "http": "httptools",  # refuses unknown methods, which h11 would let into a label
            "lifespan": "on",
            "server_header": False,
            "access_log": False,  # the application logs its requests itself
            "timeout_graceful_shutdown": _time_to_finish(),
        }
        super().__init__(*args, **kwargs)

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = DrainingServer(
            self.config,
            replaced=lambda: self.generation != generation(),
            red=self._turn_red,
            delay=load_settings().shutdown_delay_seconds,
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None)
        await server.serve(sockets=[listener.sock for listener in self.sockets])
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _turn_red(self) -> None:
        self.wsgi.state.services.draining = True


def _time_to_finish() -> int:
    """Seconds that running requests have, after the draining and before Gunicorn's SIGKILL."""
    settings = load_settings()
    draining = settings.shutdown_delay_seconds + LINGER_SECONDS
    return max(1, int(settings.graceful_timeout_seconds - draining) - MARGIN_SECONDS)
