"""Turns: no more steps at a time, over all workers, than there are processors for them.

Each worker has threads for the whole machine, as it may be the only one with work. When several
have, each keeps to its share: two nets that take turns on one processor empty each other's caches
and are both slower. A worker never waits for another; it only does not exceed its share unless
processors are idle.
"""

import threading
import time
from collections import deque
from collections.abc import Hashable
from typing import Protocol

LONG_SECONDS = 1.0  # a step that runs for longer no longer counts: it may hang, and others need not


class StepCounts(Protocol):
    """Where workers see how many steps the others run."""

    def tell(self, steps: int) -> None:
        """Say how many run here."""

    def others(self) -> int:
        """How many run elsewhere."""


class NoSiblings:
    """The board of a process that has no siblings."""

    def tell(self, steps: int) -> None:
        """Nobody listens."""

    def others(self) -> int:
        """Nobody else works."""
        return 0


class ConcurrencyLimiter:
    """Hands out turns to the threads of one worker; safe in many threads.

    processors: of the machine. share: turns that this worker may take whatever the others do.
    """

    def __init__(self, processors: int, share: int) -> None:
        self.board: StepCounts = NoSiblings()
        self._processors = processors
        self._share = share
        self._lock = threading.Lock()
        self._out = 0  # turns that were granted and not given back
        self._began: dict[int, float] = {}  # thread → when its step began
        self._waiting: deque[tuple[Hashable, threading.Lock]] = deque()

    def spare(self) -> bool:
        """Whether another turn would be granted now."""
        return self._may_go(self._steps())

    def take(self, who: Hashable) -> None:
        """Wait for a turn. who: threads of the same one need not relieve each other."""
        gate = threading.Lock()
        gate.acquire()
        with self._lock:
            self._waiting.append((who, gate))
            self._grant()
        while not gate.acquire(timeout=LONG_SECONDS):
            with self._lock:
                self._grant()  # a step that is long by now counts no more
        self._began[threading.get_ident()] = time.monotonic()

    def go_on(self, who: Hashable) -> bool:
        """Between two steps: whether to keep the turn, or to give it to somebody else's thread."""
        self._began[threading.get_ident()] = time.monotonic()
        with self._lock:
            self._grant()
            steps = self._steps()
            borrowed = steps > self._share and steps + self.board.others() > self._processors
            return not borrowed and all(other == who for other, _ in self._waiting)

    def look(self) -> None:
        """Count again, as steps become long while nobody takes or gives a turn."""
        with self._lock:
            self._grant()

    def give(self) -> None:
        """End the turn."""
        del self._began[threading.get_ident()]
        with self._lock:
            self._out -= 1
            self._grant()

    def _grant(self) -> None:
        """Let those go who may, in the order in which they came; call with the lock held."""
        steps = self._steps()
        while self._waiting and self._may_go(steps):
            self._out += 1
            steps += 1
            self._waiting.popleft()[1].release()
        self.board.tell(steps)

    def _steps(self) -> int:
        """Turns that count."""
        started = time.monotonic() - LONG_SECONDS
        return self._out - sum(began < started for began in tuple(self._began.values()))

    def _may_go(self, steps: int) -> bool:
        """Whether there may be one more."""
        return steps < self._share or steps + self.board.others() < self._processors
