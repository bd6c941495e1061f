"""Serves the metrics of the job workers, and of the queue as the broker knows it, on :9191.

`/health` beside them says that the supervisor lives, as this process ends with it, and no more: a
broker that is down is no reason to restart workers. It needs no token.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from loguru import logger
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from project.errors import BrokerUnavailable
from project.inference.drift.monitor import DriftMonitor
from project.jobs.queue import Queue
from project.jobs.send import QUEUE, connect
from project.observability import metrics, multiprocess
from project.observability.access import may_scrape
from project.observability.logging import configure_logging
from project.processes.parent_death import end_with_parent
from project.settings import Settings
from project.settings.loading import load_settings


class QueueCollector(Collector):
    """Asks the broker at each scrape; one that does not answer costs its numbers, not the rest.

    time_limit: seconds that a job may run.
    """

    def __init__(self, queue: Queue, time_limit: float) -> None:
        self._queue = queue
        self._time_limit = time_limit

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of the queue, and the bound on what comes out of it."""
        yield metrics.observed(metrics.JOBS_TIME_LIMIT, self._time_limit)
        try:
            state = self._queue.state()
        except BrokerUnavailable:
            yield metrics.observed(metrics.JOBS_BROKER_UP, 0)
            return
        yield metrics.observed(metrics.JOBS_BROKER_UP, 1)
        messages = metrics.observed(metrics.JOBS_QUEUE_MESSAGES)
        for name in metrics.QUEUE_STATES:
            messages.add_metric([QUEUE, name], getattr(state, name))
        yield messages
        age = metrics.observed(metrics.JOBS_OLDEST_AGE)
        age.add_metric([QUEUE], state.oldest_age_seconds)
        yield age


def registry(settings: Settings, directory: Path) -> CollectorRegistry:
    """What is served. directory: that of the workers' metric files."""
    found = CollectorRegistry()
    MultiProcessCollector(found, path=str(directory))  # type: ignore[no-untyped-call]
    found.register(QueueCollector(Queue(connect(settings)), settings.job_seconds))
    drift = DriftMonitor.of(settings)
    for model in settings.models:
        drift.watch(model)
    found.register(drift)
    return found


def application(served: CollectorRegistry, settings: Settings) -> WSGIApplication:
    """What answers scrapes, and nobody who lacks METRICS_TOKEN where that is set."""
    answer = make_wsgi_app(served)
    token = settings.metrics_token

    def guarded(request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if request["PATH_INFO"] == "/health":
            start("200 OK", [("Content-Type", "application/json")])
            return [b'{"status":"ok"}']
        if token and not may_scrape(request.get("HTTP_AUTHORIZATION", ""), token):
            start("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b"send METRICS_TOKEN as a bearer token, or as the password of HTTP Basic\n"]
        return cast("Iterable[bytes]", answer(request, start))

    return guarded


class _Server(ThreadingMixIn, WSGIServer):
    """A scrape that is read slowly holds up no other."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """Scrapes are not logged."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it so
        """Say nothing."""


def main() -> None:
    """Serve until the process is ended."""
    end_with_parent(int(sys.argv[1]))
    settings = load_settings()
    multiprocess.identify("exposition")
    configure_logging(settings)
    if settings.prometheus_multiproc_dir is None:
        raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not set: start through ./prestart.sh")
    served = application(registry(settings, settings.prometheus_multiproc_dir), settings)
    port = settings.worker_metrics_port
    with make_server(settings.host, port, served, _Server, _Handler) as server:
        logger.bind(port=port).info("worker_metrics_served")
        server.serve_forever()


if __name__ == "__main__":
    main()
