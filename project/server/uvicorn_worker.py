"""Our Uvicorn worker: it drains before it stops, and its heart beats while models load.

Draining means: /ready turns red, every answer closes its connection, and only then, after
SHUTDOWN_DELAY_SECONDS, the socket is closed and what still runs is waited for. A worker that is
merely being replaced (SIGHUP, `max_requests`) leaves the socket to its siblings at once and stays
green, since the service goes on.
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

LINGER_SECONDS = 1.0  # a replaced worker waits this long for idle connections to come once more
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
        self._deadline: float | None = None
        self._told_to_stop = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal; an impatient one (Ctrl-C, SIGQUIT) skips the draining."""
        self._told_to_stop = True
        if sig != signal.SIGTERM:
            self._deadline = 0.0
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
        if self._deadline is None:
            self._deadline = time.monotonic() + self._begin_to_drain()
        return time.monotonic() >= self._deadline or self._nobody_left()

    def _begin_to_drain(self) -> float:
        """Returns for how many seconds to drain."""
        self.config.encoded_headers.append((b"connection", b"close"))
        self.server_state.default_headers = [
            *self.server_state.default_headers,
            (b"connection", b"close"),
        ]
        if self._told_to_stop and not self._replaced():
            self._red()
            return self._delay
        for server in self.servers:
            server.close()
        return LINGER_SECONDS

    def _nobody_left(self) -> bool:
        """Whether a replaced worker, which accepts no more, has no connection either."""
        stopping = self._told_to_stop and not self._replaced()
        return not stopping and not self.server_state.connections


class VitrineWorker(UvicornWorker):  # type: ignore[misc]  # it carries no types
    """Gunicorn's `worker_class`. It takes what it must know from the settings of the arbiter."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.CONFIG_KWARGS = {
            "loop": "uvloop",
            "http": "httptools",  # refuses unknown methods, which h11 would let into a label
            "lifespan": "on",
            "server_header": False,
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
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _turn_red(self) -> None:
        self.wsgi.state.services.draining = True


def _time_to_finish() -> int:
    """Seconds that running requests have, after the delay and before Gunicorn's SIGKILL."""
    settings = load_settings()
    return max(
        1, int(settings.graceful_timeout_seconds - settings.shutdown_delay_seconds) - MARGIN_SECONDS
    )
