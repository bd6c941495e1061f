"""Polling for a condition that has no event; where there is an event, wait for that instead."""

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE = 120.0  # seconds; generous, as the machine may be slow or busy
POLL_SECONDS = 0.01
MAX_POLL_SECONDS = 0.25
POLL_RATIO = 4  # of a pause to what the condition took: polling leaves the processor to the others

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Poll until the condition holds; returns its result.

    Raises TimeoutError with `what` at the deadline.
    """
    began = time.monotonic()
    end = began + deadline
    while not (answer := condition()):
        now = time.monotonic()
        if now > end:
            raise TimeoutError(f"not within {deadline:g} s: {what}")
        time.sleep(pause_after(now - began))
        began = time.monotonic()
    return answer


def pause_after(seconds: float) -> float:
    """Seconds until the next poll of a condition that took so many to check."""
    return min(max(POLL_SECONDS, POLL_RATIO * seconds), MAX_POLL_SECONDS)
