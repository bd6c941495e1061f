"""What no process keeps, as the API sees it at a scrape: readiness, and drift.

Whether a model is there is taken from all workers' `model_loaded`: what the one that happens to
answer knows of its own models would flicker from scrape to scrape.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client import Metric

from project.api.readiness import Check
from project.inference.drift.monitor import DriftMonitor
from project.observability.metrics import READINESS_SECONDS, READINESS_UP, observed


def observed_now(
    neighbours: Mapping[str, Check], drift: DriftMonitor, families: Iterable[Metric]
) -> Iterator[Metric]:
    """The gauges of readiness and drift. families: what the processes keep."""
    yield from _readiness(neighbours, families)
    yield from drift.collect()


def _readiness(neighbours: Mapping[str, Check], families: Iterable[Metric]) -> Iterator[Metric]:
    up, seconds = observed(READINESS_UP), observed(READINESS_SECONDS)
    for sample in chain.from_iterable(family.samples for family in families):
        if sample.name == "model_loaded":
            up.add_metric([f"model:{sample.labels['model']}"], sample.value)
    for name, check in neighbours.items():
        up.add_metric([name], check.ok)
        seconds.add_metric([name], check.latency_seconds)
    yield up
    yield seconds
