"""Limits the steps that run at a time, over all workers, to the number of processors.

Each worker has threads for the whole machine, as it may be the only one with work. When several
have, each keeps to its share: two nets that alternate on one processor evict each other's caches
and are both slower. A worker never waits for another one; it only does not exceed its share unless
processors are idle.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Protocol

LONG_SECONDS = 1.0  # a longer step counts as stalled: it no longer occupies a permit


class StepCounts(Protocol):
    """Where workers publish how many steps they run."""

    def publish(self, steps: int) -> None:
        """Set the number of steps of this worker."""

    def siblings(self) -> int:
        """The number of steps of all other workers."""


class NoSiblings:
    """The step counts of a process that has no siblings."""

    def publish(self, steps: int) -> None:
        """Nothing reads it."""

    def siblings(self) -> int:
        """Nothing else runs."""
        return 0


class ConcurrencyLimiter:
    """Grants permits to run a step to the threads of one worker; safe in many threads.

    processors: of the machine. share: permits that this worker may grant whatever its siblings do.
    long_seconds: see LONG_SECONDS. clock: seconds, monotonic.
    """

    def __init__(
        self,
        processors: int,
        share: int,
        *,
        long_seconds: float = LONG_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.step_counts: StepCounts = NoSiblings()
        self._processors = processors
        self._share = share
        self._long_seconds = long_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._granted = 0  # permits that were not released
        self._step_started: dict[int, float] = {}  # thread → when its step began
        self._waiting: deque[tuple[Hashable, threading.Lock]] = deque()

    @property
    def waiting(self) -> int:
        """Threads that wait for a permit."""
        return len(self._waiting)

    def has_spare(self) -> bool:
        """Whether another permit would be granted now."""
        return self._may_grant(self._running())

    def acquire(self, owner: Hashable) -> None:
        """Wait for a permit. owner: threads of the same one do not yield to each other."""
        granted = threading.Lock()
        granted.acquire()
        with self._lock:
            self._waiting.append((owner, granted))
            self._grant_waiting()
        while not granted.acquire(timeout=self._long_seconds):
            with self._lock:
                self._grant_waiting()  # a step that is long by now no longer counts
        self._step_started[threading.get_ident()] = self._clock()

    def may_continue(self, owner: Hashable) -> bool:
        """Between two steps: whether this thread keeps its permit, or releases it for another."""
        self._step_started[threading.get_ident()] = self._clock()
        with self._lock:
            self._grant_waiting()
            steps = self._running()
            over_share = steps > self._share
            borrowed = over_share and steps + self.step_counts.siblings() > self._processors
            return not borrowed and all(other == owner for other, _ in self._waiting)

    def refresh(self) -> None:
        """Count again: steps become long while no permit is acquired or released."""
        with self._lock:
            self._grant_waiting()

    def release(self) -> None:
        """Release the permit of this thread."""
        del self._step_started[threading.get_ident()]
        with self._lock:
            self._granted -= 1
            self._grant_waiting()

    def _grant_waiting(self) -> None:
        """Grant what may be granted, first come first served; call it with the lock held."""
        steps = self._running()
        while self._waiting and self._may_grant(steps):
            self._granted += 1
            steps += 1
            self._waiting.popleft()[1].release()
        self.step_counts.publish(steps)

    def _running(self) -> int:
        """Permits that count: those whose step is not long."""
        long_before = self._clock() - self._long_seconds
        long = sum(started < long_before for started in tuple(self._step_started.values()))
        return self._granted - long

    def _may_grant(self, steps: int) -> bool:
        """Whether one more step may run beside so many."""
        return steps < self._share or steps + self.step_counts.siblings() < self._processors
