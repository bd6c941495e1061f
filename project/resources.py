"""What of the machine this process may use: processors and memory, as its container allows.

A container with a quota of one processor still sees all the host's; whatever is sized by what it
sees is throttled. Read from cgroup version 2 or 1, along the whole path up to the root, as the
tightest limit on the way is the one that holds.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MAX_MEMORY = 1 << 60  # version 1 writes a number near 2^63 where there is no limit


@dataclass(frozen=True)
class Resources:
    """processors: how many this process may keep busy. memory_bytes: how much it may have."""

    processors: float
    memory_bytes: int

    @property
    def whole_processors(self) -> int:
        """At least 1; a quota of 1.5 keeps two threads busy three quarters of the time."""
        return max(1, math.ceil(self.processors))


def read_resources(
    mounts: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> Resources:
    """Read the limits of this process. mounts, membership: where Linux tells them."""
    groups = _groups(membership)
    processors = [float(_affinity()), *_processor_quotas(mounts, groups)]
    memory = [psutil.virtual_memory().total, *_memory_limits(mounts, groups)]
    return Resources(min(processors), min(memory))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(membership: Path) -> dict[str, str]:
    """Controller → the group's path; version 2 has one group for all, under the empty name."""
    if not membership.is_file():
        return {}
    lines = (line.split(":", 2) for line in membership.read_text().splitlines())
    return {name: path for _, names, path in lines for name in names.split(",")}


def _processor_quotas(mounts: Path, groups: dict[str, str]) -> Iterator[float]:
    for folder in _upwards(mounts, groups.get("")):
        quota, period = (*_words(folder / "cpu.max"), "max", "max")[:2]
        if quota != "max":
            yield int(quota) / int(period)
    for folder in _upwards(_version_1(mounts, "cpu", "cpu,cpuacct"), groups.get("cpu")):
        allowed, each = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
        if allowed and each and int(allowed[0]) > 0:
            yield int(allowed[0]) / int(each[0])


def _memory_limits(mounts: Path, groups: dict[str, str]) -> Iterator[int]:
    for folder in _upwards(mounts, groups.get("")):
        words = _words(folder / "memory.max")
        if words and words[0] != "max":
            yield int(words[0])
    for folder in _upwards(_version_1(mounts, "memory"), groups.get("memory")):
        words = _words(folder / "memory.limit_in_bytes")
        if words and int(words[0]) < MAX_MEMORY:
            yield int(words[0])


def _version_1(mounts: Path, *names: str) -> Path:
    return next((mounts / name for name in names if (mounts / name).is_dir()), mounts / names[0])


def _upwards(mount: Path, group: str | None) -> Iterator[Path]:
    """The group's folder and those above it; inside a container the mount may be all there is."""
    if group is None:
        return
    folder = mount / group.strip("/")
    yield folder
    while folder != mount and mount in folder.parents:
        folder = folder.parent
        yield folder


def _words(path: Path) -> list[str]:
    """The words of a one-line file; none where it is not there, as for a controller not enabled."""
    try:
        return path.read_text().split()
    except OSError:
        return []
