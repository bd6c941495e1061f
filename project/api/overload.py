"""Load shedding: under overload, a prediction is rejected before anything is spent on it.

A rejection by the route has passed every layer, and at ten times the load that a machine can carry
such rejections alone would take half of it. So the server asks here as soon as the head of a
request is complete, and renders the answer itself (server/rejection.py). Such a rejection counts
like any other; the log has one line a second for them, `requests_refused`, with their number, and
they have no span.
"""

import asyncio
from collections import Counter
from urllib.parse import unquote, urlsplit

from loguru import logger

from project.api.requests.preferences import is_respond_async
from project.api.server_interface import Headers
from project.errors import Overloaded
from project.inference.model_queue import ModelQueue
from project.inference.runner import Runner
from project.observability import metrics

LOG_SECONDS = 1.0


class OverloadGuard:
    """Decides for the paths of all predictions, by the queues of their models, and counts.

    excluded_port: a port on which no predictions are served. jobs: whether a request that prefers a
    job gets one, and so needs no slot. log_seconds: between two log lines.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        excluded_port: int | None = None,
        jobs: bool = False,
        log_seconds: float = LOG_SECONDS,
    ) -> None:
        routes = (GuardedRoute(queue) for queue in runner.queues.values())
        self._routes = {route.path.encode(): route for route in routes}
        self._excluded_port = excluded_port
        self._jobs = jobs
        self._log_seconds = log_seconds
        self._unlogged: Counter[str] = Counter()  # model → rejections that no log line has counted
        self._timer: asyncio.TimerHandle | None = None

    def overload(
        self, method: bytes, target: bytes, headers: Headers, port: int | None
    ) -> Overloaded | None:
        """Return the error that rejects a prediction; None for every other request.

        target: as in the request line; headers: their names in lower case; port: the local port of
        the connection.
        """
        route = self._route(target)
        if route is None or method != b"POST" or port == self._excluded_port:
            return None
        overload = route.queue.overload()
        if overload is None:
            route.queue.expect()
            return None
        if self._jobs and any(
            name == b"prefer" and is_respond_async(value.decode("latin-1"))
            for name, value in headers
        ):
            return None
        route.count()
        self._unlogged[route.queue.model.name] += 1
        if self._timer is None:
            self._log()
        return overload

    def _route(self, target: bytes) -> "GuardedRoute | None":
        path = target.partition(b"?")[0]
        if b"%" in path or not path.startswith(b"/"):  # other spellings of the same path
            path = unquote(urlsplit(path.decode("latin-1")).path).encode()
        return self._routes.get(path)

    def flush_log(self) -> None:
        """Log the rejections that no line has counted yet."""
        for name, count in self._unlogged.items():
            log = logger.bind(model=name, count=count, status=Overloaded.status)
            log.warning("requests_refused")
        self._unlogged.clear()

    def _log(self) -> None:
        """Log now, and again after a while, until there is nothing more to log."""
        self._timer = None
        if not self._unlogged:
            return
        self.flush_log()
        self._timer = asyncio.get_running_loop().call_later(self._log_seconds, self._log)


class GuardedRoute:
    """The predictions of one model: their path, their queue, and the counters of the rejected."""

    def __init__(self, queue: ModelQueue) -> None:
        self.queue = queue
        self.path = f"/v1/models/{queue.model.name}/predictions"
        self._counters = (
            metrics.HTTP_REQUESTS.labels("POST", self.path, str(Overloaded.status)),
            metrics.HTTP_REJECTED.labels("overload"),
            metrics.INFERENCE_REQUESTS.labels(queue.model.name, "overload"),
        )

    def count(self) -> None:
        """Count a rejection."""
        for counter in self._counters:
            counter.inc()
