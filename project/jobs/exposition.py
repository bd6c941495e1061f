"""Serves the metrics of the job workers, and of the queue as the broker knows it, on :9191."""

import threading
from collections.abc import Iterator
from pathlib import Path

from loguru import logger
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from project.configuration import load_settings
from project.errors import BrokerUnavailable
from project.jobs.parent import end_with_parent
from project.jobs.queue import Queue
from project.jobs.send import QUEUE, connect
from project.observability import metrics
from project.observability.logging import configure_logging
from project.settings import Settings


class QueueCollector(Collector):
    """Asks the broker at each scrape; one that does not answer costs its numbers, not the rest."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of the queue."""
        try:
            state = self._queue.state()
        except BrokerUnavailable:
            yield _gauge(metrics.JOBS_BROKER_UP, 0)
            return
        yield _gauge(metrics.JOBS_BROKER_UP, 1)
        messages = _family(metrics.JOBS_QUEUE_MESSAGES)
        for name in metrics.QUEUE_STATES:
            messages.add_metric([QUEUE, name], getattr(state, name))
        yield messages
        age = _family(metrics.JOBS_OLDEST_AGE)
        age.add_metric([QUEUE], state.oldest_age_seconds)
        yield age


def _family(spec: metrics.Spec) -> GaugeMetricFamily:
    return GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)


def _gauge(spec: metrics.Spec, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(spec.name, spec.help, value=value)


def registry(settings: Settings, directory: Path) -> CollectorRegistry:
    """What is served. directory: that of the workers' metric files."""
    found = CollectorRegistry()
    MultiProcessCollector(found, path=str(directory))  # type: ignore[no-untyped-call]
    found.register(QueueCollector(Queue(connect(settings))))
    return found


def main() -> None:
    """Serve until the process is ended."""
    end_with_parent()
    settings = load_settings()
    configure_logging(settings)
    if settings.prometheus_multiproc_dir is None:
        raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not set: start through ./prestart.sh")
    served = registry(settings, settings.prometheus_multiproc_dir)
    start_http_server(settings.worker_metrics_port, settings.host, served)
    logger.bind(port=settings.worker_metrics_port).info("worker_metrics_served")
    threading.Event().wait()


if __name__ == "__main__":
    main()
