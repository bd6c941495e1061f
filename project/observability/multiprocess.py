"""Metric files named by worker slot instead of pid, so that they never multiply.

prometheus_client keeps one set of files for each process. Named by pid, the files of dead workers
stay for ever and a scrape slows with every worker that was ever replaced. Here a worker takes a
slot (0, 1, 2 …; see slots.py) and goes on counting in the files of whoever had that slot before:
counters never run backwards and nothing has to be merged or deleted but the gauges that describe
a living process.
"""

import os
import tempfile
import time
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

MAIN = "main"  # the identity of a process that has no slot: the arbiter, a script
FILE_BYTES = 1 << 16  # the size that prometheus_client gives a new file

_identity = MAIN
_identity_of_child = MAIN


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


def empty(directory: Path) -> None:
    """Delete every metric of a former run; only before any process writes there."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if path.suffix in {".db", ".new", ".labels"}:
            path.unlink()


def exposition(directory: Path | None) -> tuple[bytes, float, int]:
    """Merge all processes' metrics into the Prometheus text format.

    directory: what the processes share, or None for this process alone.
    Returns the text, the seconds it took, and how many files were read.
    """
    started = time.perf_counter()
    if directory is None:
        return generate_latest(REGISTRY), time.perf_counter() - started, 0
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    text = generate_latest(registry)
    return text, time.perf_counter() - started, len(list(directory.glob("*.db")))
