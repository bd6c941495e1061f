"""Metric files named by worker slot instead of pid, so that they never multiply.

prometheus_client writes one set of files for each process. Named by pid, the files of dead workers
stay for ever, and scrapes slow down with every worker that was ever replaced. Here a worker takes a
slot (0, 1, 2 …; see worker_slots.py) and continues the files of the last worker in that slot:
counters never run backwards, and nothing has to be merged or deleted but the gauges of live
processes.
"""

import json
import os
from pathlib import Path

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

from project.atomic_write import write_atomically

MAIN = "main"  # the identity of a process without a slot: the arbiter, a script
FILE_BYTES = 1 << 16  # the size that prometheus_client gives a new file

_identity = MAIN
_identity_of_child = MAIN


def install() -> None:
    """Name this process's metric files by its identity; call it before a metric is constructed.

    prometheus_client chooses multiprocess mode at its import, by PROMETHEUS_MULTIPROC_DIR; in a
    process without it there is nothing to do.
    """
    if getattr(values.ValueClass, "_multiprocess", False):
        make = values.MultiProcessValue
        values.ValueClass = make(process_identifier=lambda: _identity)  # type: ignore[no-untyped-call]
        os.register_at_fork(after_in_child=_become_child)


def identify_child(identity: str) -> None:
    """Have the process that is forked next count under this identity from the start.

    Under its parent's, it would overwrite newer counts with those in its copy of the memory.
    """
    global _identity_of_child  # noqa: PLW0603 - one identity for the process, as one pid
    _identity_of_child = identity


def own_identity() -> str:
    """Return what this process counts under; other files of its own have the same name."""
    return _identity


def identify(identity: str) -> None:
    """Count under this identity in this process; each value moves to its files at its next use."""
    global _identity  # noqa: PLW0603 - see identify_child
    _identity = identity


def _become_child() -> None:
    """Take the child's identity; the fork calls it in every forked process."""
    global _identity  # noqa: PLW0603 - see identify_child
    _identity = _identity_of_child


def prepare(directory: Path, identity: str, gauge_modes: list[str]) -> None:
    """Create the missing files of an identity, each of them with its full size at once.

    prometheus_client creates a file first and sizes it afterwards; a scrape in between would fail.
    """
    for kind in ["counter", "histogram", *(f"gauge_{mode}" for mode in gauge_modes)]:
        path = directory / f"{kind}_{identity}.db"
        if path.exists():
            continue
        write_atomically(path, bytes(FILE_BYTES))


def forget_live_gauges(directory: Path, identity: str) -> None:
    """Remove the live gauges of a process that has ended; its counters stay."""
    mark_process_dead(identity, str(directory))  # type: ignore[no-untyped-call]


def live_sum(directory: Path, identity: str, name: str) -> float:
    """Return the value of a `livesum` gauge in one process; 0 where it has none, or no longer."""
    path = directory / f"gauge_livesum_{identity}.db"
    if not path.exists():
        return 0.0
    entries = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
    return sum(float(value) for key, value, *_ in entries if json.loads(key)[0] == name)


def empty(directory: Path) -> None:
    """Delete every metric of a former run; call it before any process writes there."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if path.suffix in {".db", ".new", ".labels", ".drift"}:
            path.unlink()
