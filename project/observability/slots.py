"""Numbered places for workers: a worker takes the lowest free one and leaves it when it dies.

Metric files are named by slot, so a replaced worker counts on where the last one stopped. Each
place is held with an advisory lock on a file, taken by the arbiter and inherited by the worker:
the kernel frees it when both are gone, whatever killed them, and a second arbiter (SIGUSR2) can
never hand out a place that is still in use.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

MAX_SLOTS = 1024
IN_USE = "in_use.lock"


@dataclass(frozen=True)
class WorkerSlot:
    """A place that is held. descriptor: the open lock file."""

    number: int
    descriptor: int

    @property
    def identity(self) -> str:
        """The name of this slot's metric files."""
        return str(self.number)

    def close(self) -> None:
        """Let go of this process's hold; the place is free when every holder has."""
        os.close(self.descriptor)


def take(directory: Path) -> WorkerSlot:
    """Hold the lowest free place. Raises OSError where there is none."""
    for number in range(MAX_SLOTS):
        descriptor = _lock(directory / f"slot_{number}.lock")
        if descriptor is not None:
            return WorkerSlot(number, descriptor)
    raise OSError(f"all {MAX_SLOTS} worker slots in {directory} are taken")


def share(directory: Path) -> int:
    """Say that a server counts in this folder, until this process and its children end."""
    descriptor = os.open(directory / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def is_shared(directory: Path) -> bool:
    """Whether a server, or a worker that outlived one, still counts in this folder."""
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
