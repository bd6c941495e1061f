"""Serves the metrics of the job workers, and of the queues as the broker knows them, on :9191.

`/health` beside them checks that the supervisor lives, with which this process ends, and nothing
else: a broker that is down is no reason to restart workers. It needs no token.
"""

import gzip
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from loguru import logger
from prometheus_client import Metric
from pydantic import SecretStr

from project.errors import BrokerUnavailable
from project.inference.drift.monitor import DriftMonitor
from project.jobs.queue import QueueReader, connect
from project.observability import metrics, multiprocess
from project.observability.exposition import CONTENT_TYPE, expose
from project.observability.logging import configure_logging
from project.observability.scrape_auth import may_scrape
from project.processes.parent_death import end_with_parent
from project.settings import Settings
from project.settings.loading import load_settings

PATHS = ("/metrics", "/health")
PLAIN = [("Content-Type", "text/plain; charset=utf-8")]


def queue_metrics(
    reader: QueueReader, queues: Sequence[str], time_limit: float
) -> Iterator[Metric]:
    """Yield the gauges of the queues; a broker that does not answer costs these alone.

    time_limit: seconds that a job may run.
    """
    yield metrics.observed(metrics.JOBS_TIME_LIMIT, time_limit)
    try:
        states = reader.states(queues)
    except BrokerUnavailable:
        yield metrics.observed(metrics.JOBS_BROKER_UP, 0)
        return
    yield metrics.observed(metrics.JOBS_BROKER_UP, 1)
    messages = metrics.observed(metrics.JOBS_QUEUE_MESSAGES)
    age = metrics.observed(metrics.JOBS_OLDEST_AGE)
    for queue, state in states.items():
        for name in metrics.QUEUE_STATES:
            messages.add_metric([queue, name], getattr(state, name))
        age.add_metric([queue], state.oldest_age_seconds)
    yield messages
    yield age


def worker_metrics(settings: Settings) -> Callable[[], bytes]:
    """Return what renders the metrics of the workers, of the queues and of drift, at each call.

    The queues are those of all MODELS: one that no worker takes is to be seen as well.
    """
    reader = QueueReader(connect(settings))
    drift = DriftMonitor.of(settings)
    for model in settings.models:
        drift.watch(model)

    def observe(_families: object) -> Iterable[Metric]:
        return chain(queue_metrics(reader, settings.models, settings.job_seconds), drift.collect())

    directory = settings.prometheus_multiproc_dir
    exposition = partial(
        expose,
        directory,
        observe,
        left_out=metrics.AT_ONCE_ALONE,
        bounds=metrics.BOUNDS_OF_WORKERS,
    )
    return lambda: exposition().text


def application(render: Callable[[], bytes], token: SecretStr | None) -> WSGIApplication:
    """Build the WSGI application. token: what a scrape must carry, if there is one."""

    def respond(request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if request["PATH_INFO"] not in PATHS:
            start("404 Not Found", PLAIN)
            return [b"GET /metrics, or /health\n"]
        if request["REQUEST_METHOD"] != "GET":
            start("405 Method Not Allowed", [*PLAIN, ("Allow", "GET")])
            return [b"GET /metrics, or /health\n"]
        if request["PATH_INFO"] == "/health":
            start("200 OK", [("Content-Type", "application/json")])
            return [b'{"status":"ok"}']
        if token and not may_scrape(request.get("HTTP_AUTHORIZATION", ""), token):
            start("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b"send METRICS_TOKEN as a bearer token, or as the password of HTTP Basic\n"]
        text, headers = render(), [("Content-Type", CONTENT_TYPE), ("Vary", "Accept-Encoding")]
        if "gzip" in request.get("HTTP_ACCEPT_ENCODING", ""):
            text, headers = gzip.compress(text), [*headers, ("Content-Encoding", "gzip")]
        start("200 OK", headers)
        return [text]

    return respond


class _Server(ThreadingMixIn, WSGIServer):
    """A threaded server: a scrape that is read slowly delays no other."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """A handler that does not log scrapes."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it so
        """Log nothing."""


def main() -> None:
    """Serve until the process is ended."""
    end_with_parent(int(sys.argv[1]))
    settings = load_settings()
    multiprocess.identify("exposition")
    configure_logging(settings)
    if settings.prometheus_multiproc_dir is None:
        raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not set: start through ./prestart.sh")
    served = application(worker_metrics(settings), settings.metrics_token)
    port = settings.worker_metrics_port
    with make_server(settings.host, port, served, _Server, _Handler) as server:
        logger.bind(port=port).info("worker_metrics_served")
        server.serve_forever()


if __name__ == "__main__":
    main()
