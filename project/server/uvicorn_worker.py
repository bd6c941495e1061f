"""Our Uvicorn worker: it drains before it stops, and its heart beats while models load.

When the server stops, /ready turns red and the worker serves on for SHUTDOWN_DELAY_SECONDS. When
the worker is being replaced (SIGHUP), it stays green and serves on until a successor does. Alone
(`max_requests`, SIGTTOU) it leaves the socket to its siblings at once. In each case idle
connections may then come once more and are told to close, and what still runs is waited for.
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from gunicorn.arbiter import Arbiter
from loguru import logger
from uvicorn.config import Config
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from project.errors import ConfigurationError
from project.server import shared
from project.server.listener import Listener
from project.server.protocol import CLOSE, BoundedProtocol, Refusal
from project.settings.loading import load_settings

LINGER_SECONDS = 1.0  # idle connections have this long to come once more, and be told to close
MARGIN_SECONDS = 5  # before Gunicorn's graceful_timeout: the lifespan's end flushes Sentry, traces
HEARSAY_SECONDS = 0.5  # a signal to the whole group may reach a worker before the arbiter
BEAT_SECONDS = 1.0
GARBAGE = 10_000  # objects between two collections; Python's 700 is one in each request


class DrainingServer(Server):
    """A Uvicorn server that turns connections away politely before it closes them.

    listen_on: whether to go on listening, asked while the server drains, with the seconds since
    it began to. ready: called when it serves. leave: called when it listens no more. refusal,
    pause_seconds: see BoundedProtocol. slot: of its worker.
    """

    def __init__(
        self,
        config: Config,
        *,
        listen_on: Callable[[float], bool],
        ready: Callable[[], None],
        leave: Callable[[], None],
        refusal: Refusal,
        pause_seconds: float,
        slot: int,
    ) -> None:
        super().__init__(config)
        self._refusal = refusal
        self._pause_seconds = pause_seconds
        self._slot = slot
        self._listen_on = listen_on
        self._ready = ready
        self._leave = leave
        self._draining_since: float | None = None
        self._linger_until: float | None = None
        self._impatient = False
        self._left = False  # it listens no more
        self.told_to_stop = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal; an impatient one (Ctrl-C, SIGQUIT) skips the draining."""
        self.told_to_stop = True
        if sig != signal.SIGTERM:
            self._impatient = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: Any = None) -> None:
        """Run the lifespan's start, which loads the models, with the heart beating."""
        heart = asyncio.create_task(self._beat())
        try:
            await super().startup([])
        finally:
            heart.cancel()
        _keep_what_is_loaded()
        self.servers: list[Listener] = [  # type: ignore[assignment]
            Listener(sock, self._protocol, self.config.ssl, self._has_more) for sock in sockets
        ]
        self._tell_connections()
        for server in self.servers:
            server.start()
        self._ready()

    def _protocol(self) -> asyncio.Protocol:
        """What serves a connection, as Uvicorn makes it."""
        protocol = BoundedProtocol(self.config, self.server_state, self.lifespan.state)
        protocol.changed = self._tell_connections
        protocol.refusal = self._refusal
        protocol.pause_seconds = self._pause_seconds
        return protocol

    def _tell_connections(self) -> int:
        """Tell the other workers how many connections there are here; returns it."""
        if self._left:
            return 0
        opening = sum(server.opening for server in self.servers)
        count = len(self.server_state.connections) + opening
        shared.tell_connections(self._slot, count)
        return count

    def _has_more(self) -> bool:
        """Whether another worker has fewer connections and should have the next."""
        return self._tell_connections() > shared.fewest_connections(besides=self._slot)

    async def _beat(self) -> None:
        while self.config.callback_notify is not None:
            await self.config.callback_notify()
            await asyncio.sleep(BEAT_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the serving."""
        if not await super().on_tick(counter):
            return False
        now = time.monotonic()
        if self._draining_since is None:
            self._draining_since = now
            self.should_exit = True  # or Uvicorn says at every tick that max_requests is reached
        if self._impatient:
            return True
        if self._linger_until is None:
            if self._listen_on(now - self._draining_since):
                return False
            self._linger_until = now + LINGER_SECONDS
            self.say_close()
            self._stop_listening()
        opening = any(server.opening for server in self.servers)
        return now >= self._linger_until or not (self.server_state.connections or opening)

    async def shutdown(self, sockets: Any = None) -> None:
        """End all connections, those too that were accepted a moment ago."""
        self._stop_listening()
        for server in self.servers:
            await server.wait_closed()
        await super().shutdown(sockets)

    def _stop_listening(self) -> None:
        self._left = True
        shared.tell_connections(self._slot, shared.NOT_LISTENING)
        for server in self.servers:
            server.close()
        self._leave()

    def say_close(self) -> None:
        """From now on, every answer tells its client to open a new connection for the next."""
        if CLOSE not in self.config.encoded_headers:
            self.config.encoded_headers.append(CLOSE)
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]


class VitrineWorker(UvicornWorker):  # type: ignore[misc]  # it carries no types
    """Gunicorn's `worker_class`. It takes what it must know from the settings of the arbiter."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.CONFIG_KWARGS = {
            "loop": "uvloop",
            "http": BoundedProtocol,
            "lifespan": "on",
            "server_header": False,
            "access_log": False,  # the application logs its requests itself
            "timeout_graceful_shutdown": _time_to_finish(),
        }
        super().__init__(*args, **kwargs)

    def load_wsgi(self) -> None:
        """Import the application; what is wrong with a model's file is said in one line."""
        try:
            super().load_wsgi()
        except ConfigurationError as error:
            logger.opt(exception=error.__cause__).critical(error.detail)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def callback_notify(self) -> None:
        """The heart's beat. It stops where a model hangs, and Gunicorn replaces the worker."""
        if not self.wsgi.state.services.stuck():
            self.notify()

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        self.wsgi.state.services.join(shared.SharedStepCounts(self.slot.number))
        self.server = DrainingServer(
            self.config,
            listen_on=self._listen_on,
            ready=lambda: shared.mark_ready(self.generation),
            leave=self.wsgi.state.services.leave,
            refusal=self.wsgi.state.services.refusal,
            pause_seconds=load_settings().refusal_pause_seconds,
            slot=self.slot.number,
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGQUIT, self.server.handle_exit, signal.SIGQUIT, None)
        await self.server.serve(sockets=[listener.sock for listener in self.sockets])
        if not self.server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _listen_on(self, seconds: float) -> bool:
        """Whether to go on listening, so many seconds after the end was called for."""
        settings = load_settings()
        if not self.server.told_to_stop:
            return False  # max_requests
        if shared.stopping():
            self.wsgi.state.services.draining = True
            self.server.say_close()
            return seconds < settings.shutdown_delay_seconds
        if self.generation != shared.generation():
            return not shared.successor_ready() and seconds < settings.graceful_timeout_seconds
        return seconds < HEARSAY_SECONDS


def _keep_what_is_loaded() -> None:
    """What is loaded by now stays to the end: no collection need walk it again."""
    gc.collect()
    gc.freeze()  # with torch loaded, each full collection stops the worker for 0.1 s
    gc.set_threshold(GARBAGE)


def _time_to_finish() -> int:
    """Seconds that running requests have, after the draining and before Gunicorn's SIGKILL."""
    settings = load_settings()
    draining = settings.shutdown_delay_seconds + LINGER_SECONDS
    return max(1, int(settings.graceful_timeout_seconds - draining) - MARGIN_SECONDS)
