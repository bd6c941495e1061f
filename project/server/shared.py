"""Memory that the arbiter and its workers share: a page that they inherit at the fork.

It holds the generation of the last reload, whether the server stops, and for each worker slot the
number of connections and of running steps.
"""

import math
import mmap
import time
from collections.abc import Callable

MAX_WORKERS = 256  # by slot; no more than 64 are configured, and a reload has twice as many
NOT_LISTENING = 0xFFFF
RECENT_SECONDS = 0.02  # a worker that ran a step so recently will soon run the next one

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


def register_slot(slot: int) -> None:
    """In the arbiter: a worker is about to take this slot."""
    _flags[_SLOTS] = max(_flags[_SLOTS], min(slot, MAX_WORKERS - 1))


def generation() -> int:
    """Return the number of reloads so far, modulo 256; workers of an older one are replaced."""
    return _flags[_GENERATION]


def begin_generation() -> None:
    """In the arbiter: a reload begins."""
    _flags[_GENERATION] = (generation() + 1) % 256


def mark_ready(of_generation: int) -> None:
    """In a worker: it serves, and is of this generation."""
    _flags[_READY] = of_generation


def successor_ready() -> bool:
    """Return whether a worker of the newest generation serves, so that older ones may leave."""
    return _flags[_READY] == generation()


def mark_stopping() -> None:
    """In the arbiter: the whole server stops."""
    _flags[_STOPPING] = 1


def stopping() -> bool:
    """Return whether the whole server stops, and not one worker alone."""
    return bool(_flags[_STOPPING])


def publish_connections(slot: int, count: int) -> None:
    """Publish how many connections the worker in a slot has, or that it is NOT_LISTENING."""
    if slot < MAX_WORKERS:
        _connections[slot] = min(count, NOT_LISTENING)


def fewest_connections(besides: int) -> int:
    """Return the fewest connections of any other listening worker; NOT_LISTENING without one."""
    others = (count for slot, count in enumerate(_connections) if slot != besides)
    return min(others)


class SharedStepCounts:
    """How many steps each worker runs: the StepCounts of inference/concurrency.py.

    slot: of this worker. clock: one that all processes share.
    """

    def __init__(self, slot: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._slot = min(slot, MAX_WORKERS - 1)
        self._clock = clock

    def publish(self, steps: int) -> None:
        """Publish how many run here."""
        _steps[self._slot] = min(steps, 255)
        _active_at[self._slot] = self._clock()

    def siblings(self) -> int:
        """Return how many run in the other workers; one that has just ended a step counts one."""
        recent = self._clock() - RECENT_SECONDS
        return sum(
            _steps[slot] or _active_at[slot] > recent
            for slot in range(_flags[_SLOTS] + 1)
            if slot != self._slot
        )


def clear(slot: int) -> None:
    """In the arbiter: the worker in a slot has ended."""
    publish_connections(slot, NOT_LISTENING)
    if slot < MAX_WORKERS:
        _steps[slot] = 0
