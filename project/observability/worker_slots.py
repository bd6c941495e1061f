"""Worker slots: each worker has the lowest free number, which is free again when it dies.

Metric files are named by slot, so a replaced worker continues the counts of the last one. Each slot
is held by an advisory lock on a file, which the arbiter acquires and the worker inherits: the
kernel frees it when both have ended, however they were killed, and a second arbiter (SIGUSR2) can
never assign a slot that is still in use.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

MAX_SLOTS = 1024
IN_USE = "in_use.lock"


@dataclass(frozen=True)
class WorkerSlot:
    """A slot that this process holds. descriptor: of the open lock file."""

    number: int
    descriptor: int

    @property
    def identity(self) -> str:
        """The name of this slot's metric files."""
        return str(self.number)

    def close(self) -> None:
        """Release it in this process; the slot is free once every holder has."""
        os.close(self.descriptor)


def acquire(directory: Path) -> WorkerSlot:
    """Acquire the lowest free slot. Raises OSError where there is none."""
    for number in range(MAX_SLOTS):
        descriptor = _lock(directory / f"slot_{number}.lock")
        if descriptor is not None:
            return WorkerSlot(number, descriptor)
    raise OSError(f"all {MAX_SLOTS} worker slots in {directory} are taken")


def mark_in_use(directory: Path) -> int:
    """Mark the folder as in use by a server, until this process and its children have ended."""
    descriptor = os.open(directory / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def in_use(directory: Path) -> bool:
    """Return whether a server, or a worker that outlived it, still counts in this folder."""
    descriptor = _lock(directory / IN_USE)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
