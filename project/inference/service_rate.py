"""Estimates how fast a model answers, from the answers that it gave while requests waited."""

import math
import time
from collections.abc import Callable

WINDOW_SECONDS = 1.0  # of busy time that the estimate covers; a short stall changes little


class ServiceRate:
    """The mean interval between two answers of a busy model.

    Busy time and answers are averaged with exponential decay over window_seconds of busy time.
    clock: seconds, monotonic.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        window_seconds: float = WINDOW_SECONDS,
    ) -> None:
        self.seconds_per_answer = 0.0  # unknown until a busy model has answered
        self._clock = clock
        self._window_seconds = window_seconds
        self._busy_seconds = 0.0  # decayed
        self._answers = 0.0  # decayed
        self._last_answer_at = 0.0

    def record(self, answers: int, arrived_at: float, *, contended: bool) -> None:
        """Record that so many requests were answered now.

        arrived_at: when the first of them arrived, by the clock. contended: other requests wait;
        without, the interval between answers shows how often requests come, and is not counted.
        """
        now = self._clock()
        busy_since = max(self._last_answer_at, arrived_at)
        self._last_answer_at = now
        if not contended:
            return
        busy = now - busy_since
        decay = math.exp(-busy / self._window_seconds)
        self._busy_seconds = self._busy_seconds * decay + busy
        self._answers = self._answers * decay + answers
        self.seconds_per_answer = self._busy_seconds / self._answers
