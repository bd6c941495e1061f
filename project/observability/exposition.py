"""The text of both `/metrics`, the API's and the job workers', in the Prometheus format.

Merges what all processes count with what a scrape alone observes: readiness, the queue, drift.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Metric,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

Observe = Callable[[Sequence[Metric]], Iterable[Metric]]


@dataclass(frozen=True)
class Exposition:
    """What a scrape gets. seconds: that collecting took; files: how many metric files were read."""

    text: bytes
    seconds: float
    files: int


def expose(
    directory: Path | None,
    observe: Observe = lambda _families: (),
    *,
    left_out: Collection[str] = (),
    bounds: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Exposition:
    """Collect the metrics of all processes; reads files, so call it in a thread.

    directory: of their metric files, or None for this process alone. observe: given the metrics
    that the processes count, returns what this scrape observes besides. left_out: names of what
    the processes count and no one needs here. bounds: name of a histogram → the `le` of the buckets
    that are enough; as they are cumulative, leaving others out changes none.
    """
    started = time.perf_counter()
    families = [family for family in _counted(directory) if family.name not in left_out]
    for family in families:
        if enough := bounds.get(family.name):
            family.samples = [it for it in family.samples if it.labels.get("le", "+Inf") in enough]
    registry = CollectorRegistry()
    registry.register(_Collected([*families, *observe(families)]))
    text = generate_latest(registry)
    files = len(list(directory.glob("*.db"))) if directory else 0
    return Exposition(text, time.perf_counter() - started, files)


def _counted(directory: Path | None) -> Iterable[Metric]:
    if directory is None:
        return REGISTRY.collect()
    merged = MultiProcessCollector(None, path=str(directory))  # type: ignore[no-untyped-call]
    return merged.collect()  # type: ignore[no-any-return, no-untyped-call]


class _Collected(Collector):
    """Families that are collected already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return all of them."""
        return self._families
