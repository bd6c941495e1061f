"""Metric files named by worker slot instead of pid, so that they never multiply.

prometheus_client keeps one set of files for each process. Named by pid, the files of dead workers
stay for ever and a scrape slows with every worker that was ever replaced. Here a worker takes a
slot (0, 1, 2 …; see slots.py) and goes on counting in the files of whoever had that slot before:
counters never run backwards and nothing has to be merged or deleted but the gauges that describe
a living process.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Metric,
    generate_latest,
    values,
)
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

MAIN = "main"  # the identity of a process that has no slot: the arbiter, a script
FILE_BYTES = 1 << 16  # the size that prometheus_client gives a new file

_identity = MAIN
_identity_of_child = MAIN


Observe = Callable[[Iterable[Metric]], Iterable[Metric]]


def install() -> None:
    """Name this process's metric files by its identity; call before a metric is constructed.

    prometheus_client chose multiprocess mode, or not, when it was imported, by whether
    PROMETHEUS_MULTIPROC_DIR was set; without it there is nothing to do.
    """
    if getattr(values.ValueClass, "_multiprocess", False):
        make = values.MultiProcessValue
        values.ValueClass = make(process_identifier=lambda: _identity)  # type: ignore[no-untyped-call]
        os.register_at_fork(after_in_child=_become_child)


def identify_child(identity: str) -> None:
    """The process that is forked next counts under this identity from its first moment.

    Until it does, it would write what it remembers of its parent's counts over newer ones.
    """
    global _identity_of_child  # noqa: PLW0603 - one identity for the process, as one pid
    _identity_of_child = identity


def own_identity() -> str:
    """What this process counts under; files of its own are named so too."""
    return _identity


def identify(identity: str) -> None:
    """Count under this identity in this process; values move to its files at their next use."""
    global _identity  # noqa: PLW0603 - see identify_child
    _identity = identity


def _become_child() -> None:
    """Runs in every forked process; values move to its files at their next use."""
    global _identity  # noqa: PLW0603 - see identify_child
    _identity = _identity_of_child


def prepare(directory: Path, identity: str, gauge_modes: list[str]) -> None:
    """Make the files of an identity that are missing, each whole from its first moment.

    prometheus_client opens a file first and sizes it afterwards; a scrape in between would fail.
    """
    for kind in ["counter", "histogram", *(f"gauge_{mode}" for mode in gauge_modes)]:
        path = directory / f"{kind}_{identity}.db"
        if path.exists():
            continue
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=".", suffix=".new")
        with os.fdopen(handle, "wb") as file:
            file.truncate(FILE_BYTES)
        Path(temporary).rename(path)


def forget_live_gauges(directory: Path, identity: str) -> None:
    """Remove the gauges that described a process which is no more; its counters stay."""
    mark_process_dead(identity, str(directory))  # type: ignore[no-untyped-call]


def live_sum(directory: Path, identity: str, name: str) -> float:
    """What a `livesum` gauge says of one process; 0 where it said nothing, or is forgotten."""
    path = directory / f"gauge_livesum_{identity}.db"
    if not path.exists():
        return 0.0
    entries = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
    return sum(float(value) for key, value, *_ in entries if json.loads(key)[0] == name)


def empty(directory: Path) -> None:
    """Delete every metric of a former run; only before any process writes there."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if path.suffix in {".db", ".new", ".labels", ".drift"}:
            path.unlink()


def _kept(directory: Path | None) -> Iterable[Metric]:
    if directory is None:
        return REGISTRY.collect()
    merged = MultiProcessCollector(None, path=str(directory))  # type: ignore[no-untyped-call]
    return merged.collect()  # type: ignore[no-any-return, no-untyped-call]


class _Given(Collector):
    """Families that were collected already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._families


def exposition(
    directory: Path | None, observe: Observe = lambda _families: ()
) -> tuple[bytes, float, int]:
    """Merge all processes' metrics into the Prometheus text format.

    directory: what the processes share, or None for this process alone. observe: given these
    metrics, what no process keeps.
    Returns the text, the seconds it took, and how many files were read.
    """
    started = time.perf_counter()
    families = list(_kept(directory))
    registry = CollectorRegistry()
    registry.register(_Given([*families, *observe(families)]))
    text = generate_latest(registry)
    files = len(list(directory.glob("*.db"))) if directory else 0
    return text, time.perf_counter() - started, files
