"""The processors and memory that this process may use, and the workers and threads that fit them.

A container with a quota of one processor still sees every processor of its host, and threads sized
by what it sees are throttled. Limits are read from cgroup version 2 or 1, along the whole path up
to the root: the tightest limit on the path is the one that holds.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from project.settings import Settings

UNLIMITED_BYTES = 1 << 60  # cgroup version 1 writes a number near 2^63 where there is no limit
WORKER_BYTES = 700 * 2**20  # a worker with the models that are on by default, under full load
MAX_WORKERS = 64
USABLE = 0.9  # of the memory; the rest is for the arbiter and the kernel's buffers


@dataclass(frozen=True)
class Resources:
    """processors: as many as this process may keep busy. memory_bytes: its limit."""

    processors: float
    memory_bytes: int

    @property
    def whole_processors(self) -> int:
        """At least 1; a quota of 1.5 keeps two threads busy three quarters of the time."""
        return max(1, math.ceil(self.processors))


@dataclass(frozen=True)
class Sizing:
    """workers: Gunicorn's. streams: threads for each model in each of them."""

    workers: int
    streams: int


def size(settings: Settings, resources: Resources | None = None) -> Sizing:
    """Number of workers and threads: from the settings, else what suits the resources.

    resources: None reads those of this process. One worker for every two processors, but two where
    there are two processors, so that one serves while the other is replaced; fewer where memory is
    short. Each worker has threads for all processors, as it may be the only one with work;
    inference/concurrency.py limits how many run at a time.
    """
    resources = resources or read_resources()
    processors = resources.whole_processors
    useful = max(min(2, processors), math.ceil(processors / 2))
    fitting = int(USABLE * resources.memory_bytes / WORKER_BYTES)
    workers = settings.web_concurrency or max(1, min(useful, fitting, MAX_WORKERS))
    return Sizing(workers, settings.inference_streams or processors)


def read_resources(
    mounts: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> Resources:
    """Read the limits of this process. mounts, membership: the files of cgroups(7)."""
    groups = _groups(membership)
    processors = [float(_affinity()), *_processor_quotas(mounts, groups)]
    memory = [psutil.virtual_memory().total, *_memory_limits(mounts, groups)]
    return Resources(min(processors), min(memory))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(membership: Path) -> dict[str, str]:
    """Controller → path of its group; version 2 has one group for all, under the empty name."""
    if not membership.is_file():
        return {}
    lines = (line.split(":", 2) for line in membership.read_text().splitlines())
    return {name: path for _, names, path in lines for name in names.split(",")}


def _processor_quotas(mounts: Path, groups: dict[str, str]) -> Iterator[float]:
    for folder in _ancestors(mounts, groups.get("")):
        quota, period = (*_words(folder / "cpu.max"), "max", "max")[:2]
        if quota != "max":
            yield int(quota) / int(period)
    for folder in _ancestors(_version_1(mounts, "cpu", "cpu,cpuacct"), groups.get("cpu")):
        allowed, each = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
        if allowed and each and int(allowed[0]) > 0:
            yield int(allowed[0]) / int(each[0])


def _memory_limits(mounts: Path, groups: dict[str, str]) -> Iterator[int]:
    for folder in _ancestors(mounts, groups.get("")):
        words = _words(folder / "memory.max")
        if words and words[0] != "max":
            yield int(words[0])
    for folder in _ancestors(_version_1(mounts, "memory"), groups.get("memory")):
        words = _words(folder / "memory.limit_in_bytes")
        if words and int(words[0]) < UNLIMITED_BYTES:
            yield int(words[0])


def _version_1(mounts: Path, *names: str) -> Path:
    return next((mounts / name for name in names if (mounts / name).is_dir()), mounts / names[0])


def _ancestors(mount: Path, group: str | None) -> Iterator[Path]:
    """The group's folder and those above it; inside a container the mount itself may be the last.

    group: None where this process is in no group of that version.
    """
    if group is None:
        return
    folder = mount / group.strip("/")
    yield folder
    while folder != mount and mount in folder.parents:
        folder = folder.parent
        yield folder


def _words(path: Path) -> list[str]:
    """The words of a one-line file; none where the controller is not enabled."""
    try:
        return path.read_text().split()
    except OSError:
        return []
