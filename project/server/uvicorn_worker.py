"""The Uvicorn worker: it drains before it stops, and its heartbeat goes on while models load.

When the server stops, /ready turns red and the worker serves on for SHUTDOWN_DELAY_SECONDS. When
the worker is replaced (SIGHUP), it stays green and serves on until a successor does. When it alone
stops (`max_requests`, SIGTTOU), it leaves the socket to its siblings at once. In each case idle
connections may then send one more request and are told to close, and running requests finish.
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

from project.api import security_headers
from project.api.server_interface import ServedApplication
from project.errors import ConfigurationError
from project.server import shared
from project.server.accept_balancing import Listener
from project.server.forwarded import ANY_PEER, ForwardedHops
from project.server.protocol import CLOSE, BoundedProtocol
from project.server.websocket import PING_SECONDS, BoundedWebSocket
from project.settings import Settings
from project.settings.loading import load_settings

LINGER_SECONDS = 1.0  # in which idle connections may send one more request, and are told to close
MARGIN_SECONDS = 5  # before Gunicorn's graceful_timeout: the lifespan's end flushes Sentry, traces
SIGNAL_SECONDS = 0.5  # a signal to the whole group may reach a worker before the arbiter
HEARTBEAT_SECONDS = 1.0
GC_THRESHOLD = 10_000  # objects between two collections; Python's 700 is one in each request


class DrainingServer(Server):
    """A Uvicorn server that tells clients to reconnect elsewhere before it closes connections.

    keep_listening: called while the server drains, with the seconds since it began to; returns
    whether to accept connections still. on_ready: called when it serves. slot: of its worker.
    """

    def __init__(
        self,
        config: Config,
        *,
        keep_listening: Callable[[float], bool],
        on_ready: Callable[[], None],
        slot: int,
        settings: Settings,
    ) -> None:
        super().__init__(config)
        self.application: ServedApplication | None = None  # once its lifespan has started
        self.received_signal = False
        self._keep_listening = keep_listening
        self._on_ready = on_ready
        self._slot = slot
        self._settings = settings
        self._draining_since: float | None = None
        self._linger_until: float | None = None
        self._skip_draining = False
        self._listening = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal; Ctrl-C and SIGQUIT skip the draining."""
        self.received_signal = True
        if sig != signal.SIGTERM:
            self._skip_draining = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: Any = None) -> None:
        """Start the lifespan, which loads the models, with a heartbeat; then listen."""
        heartbeat = asyncio.create_task(self._send_heartbeats())
        try:
            await super().startup([])
        finally:
            heartbeat.cancel()
        application: ServedApplication = self.lifespan.state["application"]
        application.share_step_counts(shared.SharedStepCounts(self._slot))
        self.application = application
        _exempt_from_collection()
        self.servers: list[Listener] = [  # type: ignore[assignment]
            Listener(sock, self._protocol, self.config.ssl, self._has_more) for sock in sockets
        ]
        self._publish_connections()
        for server in self.servers:
            server.start()
        self._on_ready()

    def _protocol(self) -> asyncio.Protocol:
        """Return what serves a connection, as Uvicorn constructs it."""
        protocol = BoundedProtocol(self.config, self.server_state, self.lifespan.state)
        protocol.on_connections_changed = self._publish_connections
        if self.application:
            protocol.check_overload = self.application.overload
        protocol.pause_seconds = self._settings.refusal_pause_seconds
        protocol.arrival_seconds = self._settings.body_timeout_seconds
        protocol.cors_origins = self._settings.cors_origins
        return protocol

    def _publish_connections(self) -> int:
        """Publish the number of connections here to the other workers, and return it."""
        if not self._listening:
            return 0
        opening = sum(server.opening for server in self.servers)
        count = len(self.server_state.connections) + opening
        shared.publish_connections(self._slot, count)
        return count

    def _has_more(self) -> bool:
        """Return whether another worker has fewer connections and should have the next."""
        return self._publish_connections() > shared.fewest_connections(besides=self._slot)

    async def _send_heartbeats(self) -> None:
        while self.config.callback_notify is not None:
            await self.config.callback_notify()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        """Drain; Uvicorn calls it ten times a second, and stops serving once it returns True."""
        if not await super().on_tick(counter):
            return False
        now = time.monotonic()
        if self._draining_since is None:
            self._draining_since = now
            self.should_exit = True  # or Uvicorn logs at every tick that max_requests is reached
        if self._skip_draining:
            return True
        if self._linger_until is None:
            if self._keep_listening(now - self._draining_since):
                return False
            self._linger_until = now + LINGER_SECONDS
            self.send_connection_close()
            self._stop_listening()
        opening = any(server.opening for server in self.servers)
        return now >= self._linger_until or not (self.server_state.connections or opening)

    async def shutdown(self, sockets: Any = None) -> None:
        """End all connections, including those that are just accepted."""
        self._stop_listening()
        for server in self.servers:
            await server.wait_closed()
        await super().shutdown(sockets)

    def _stop_listening(self) -> None:
        self._listening = False
        shared.publish_connections(self._slot, shared.NOT_LISTENING)
        for server in self.servers:
            server.close()
        if self.application:
            self.application.stopped_listening()

    def send_connection_close(self) -> None:
        """From now on, have every response tell its client to reconnect for the next request."""
        if CLOSE not in self.config.encoded_headers:
            self.config.encoded_headers.append(CLOSE)
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]


class VitrineWorker(UvicornWorker):  # type: ignore[misc]  # it carries no types
    """Gunicorn's `worker_class`. It reads the settings that it inherits from the arbiter."""

    server: DrainingServer | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.CONFIG_KWARGS = {
            "loop": "uvloop",
            "http": BoundedProtocol,
            "ws": BoundedWebSocket,
            "ws_max_size": load_settings().stream_frame_bytes,
            "ws_per_message_deflate": False,  # a JPEG does not get smaller
            "ws_ping_interval": PING_SECONDS,
            "ws_ping_timeout": PING_SECONDS,
            "lifespan": "on",
            "headers": list(security_headers.OF_EVERY_RESPONSE),
            "server_header": False,
            "access_log": False,  # the application logs its requests itself
            "timeout_graceful_shutdown": _graceful_shutdown_seconds(),
        }
        super().__init__(*args, **kwargs)

    def load_wsgi(self) -> None:
        """Import the application; log what is wrong with a model's file in one line."""
        try:
            super().load_wsgi()
        except ConfigurationError as error:
            logger.opt(exception=error.__cause__).critical(error.detail)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def callback_notify(self) -> None:
        """Send a heartbeat, unless a model hangs: Gunicorn then replaces the worker."""
        application = self.server.application if self.server else None
        if application is None or not application.stuck_models():
            self.notify()

    async def _serve(self) -> None:
        settings = load_settings()
        self.config.app = self.wsgi
        if settings.forwarded_allow_ips == ANY_PEER:
            self.config.proxy_headers = False
            self.config.app = ForwardedHops(self.wsgi, settings.forwarded_hops)
        self.server = server = DrainingServer(
            self.config,
            keep_listening=self._keep_listening,
            on_ready=lambda: shared.mark_ready(self.generation),
            slot=self.slot.number,
            settings=settings,
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None)
        await server.serve(sockets=[listener.sock for listener in self.sockets])
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _keep_listening(self, seconds: float) -> bool:
        """Return whether to accept connections, so many seconds after draining began."""
        settings, server = load_settings(), self.server
        if server is None or not server.received_signal:
            return False  # max_requests
        if shared.stopping():
            if server.application:
                server.application.begin_shutdown()
            server.send_connection_close()
            return seconds < settings.shutdown_delay_seconds
        if self.generation != shared.generation():
            return not shared.successor_ready() and seconds < settings.graceful_timeout_seconds
        return seconds < SIGNAL_SECONDS


def _exempt_from_collection() -> None:
    """Exempt what is loaded from garbage collection: it stays to the end."""
    gc.collect()
    gc.freeze()  # with torch loaded, each full collection stops the worker for 0.1 s
    gc.set_threshold(GC_THRESHOLD)


def _graceful_shutdown_seconds() -> int:
    """Return the seconds for running requests, after the draining and before Gunicorn's SIGKILL."""
    settings = load_settings()
    draining = settings.shutdown_delay_seconds + LINGER_SECONDS
    return max(1, int(settings.graceful_timeout_seconds - draining) - MARGIN_SECONDS)
