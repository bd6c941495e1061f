"""What the arbiter and its workers know of each other: a page of memory that they inherit."""

import math
import mmap
import time
from collections.abc import Callable

MAX_WORKERS = 256  # by slot; no more than 64 are asked for, and a reload has twice as many
NOT_LISTENING = 0xFFFF
RECENT_SECONDS = 0.02  # a worker that ran a step so lately will run the next one soon

_page = mmap.mmap(-1, 16 * MAX_WORKERS)
_view = memoryview(_page)
_active_at = _view[: 8 * MAX_WORKERS].cast("d")  # when each worker last ran a step
_connections = _view[8 * MAX_WORKERS : 10 * MAX_WORKERS].cast("H")
_steps = _view[10 * MAX_WORKERS : 11 * MAX_WORKERS]
_flags = _view[11 * MAX_WORKERS :]
_GENERATION, _READY, _STOPPING, _SLOTS = range(4)
for _slot in range(MAX_WORKERS):
    _connections[_slot] = NOT_LISTENING
    _active_at[_slot] = -math.inf  # never; the clock may start at 0 with the machine


def expect(slot: int) -> None:
    """In the arbiter: a worker is about to have this slot."""
    _flags[_SLOTS] = max(_flags[_SLOTS], min(slot, MAX_WORKERS - 1))


def generation() -> int:
    """The number of reloads so far, modulo 256; a worker of an older one is being replaced."""
    return _flags[_GENERATION]


def begin_generation() -> None:
    """In the arbiter: a reload begins."""
    _flags[_GENERATION] = (generation() + 1) % 256


def mark_ready(of_generation: int) -> None:
    """In a worker: say that one of this generation serves."""
    _flags[_READY] = of_generation


def successor_ready() -> bool:
    """Whether a worker of the newest generation serves, so that older ones may leave."""
    return _flags[_READY] == generation()


def mark_stopping() -> None:
    """In the arbiter: the whole server was told to stop."""
    _flags[_STOPPING] = 1


def stopping() -> bool:
    """Whether the whole server was told to stop, and not this worker alone."""
    return bool(_flags[_STOPPING])


def tell_connections(slot: int, count: int) -> None:
    """Say how many connections the worker in a slot has, or that it is NOT_LISTENING."""
    if slot < MAX_WORKERS:
        _connections[slot] = min(count, NOT_LISTENING)


def fewest_connections(besides: int) -> int:
    """The least that any other worker has that listens; NOT_LISTENING where there is none."""
    others = (count for slot, count in enumerate(_connections) if slot != besides)
    return min(others)


class SharedStepCounts:
    """How many steps each worker runs (inference/concurrency.py).

    slot: of this worker. clock: one that all processes share.
    """

    def __init__(self, slot: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._slot = min(slot, MAX_WORKERS - 1)
        self._clock = clock

    def tell(self, steps: int) -> None:
        """Say how many run here."""
        _steps[self._slot] = min(steps, 255)
        _active_at[self._slot] = self._clock()

    def others(self) -> int:
        """How many run in the other workers; one is about to where one has just ended."""
        recent = self._clock() - RECENT_SECONDS
        return sum(
            _steps[slot] or _active_at[slot] > recent
            for slot in range(_flags[_SLOTS] + 1)
            if slot != self._slot
        )


def forget(slot: int) -> None:
    """In the arbiter: the worker in a slot has ended."""
    tell_connections(slot, NOT_LISTENING)
    if slot < MAX_WORKERS:
        _steps[slot] = 0
