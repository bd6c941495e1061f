"""Polling for a condition that has no event; where there is an event, wait for that instead."""

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE = 120.0  # seconds; generous, as the machine may be slow or busy
POLL_SECONDS = 0.01

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Poll until the condition holds; returns its result.

    Raises TimeoutError with `what` at the deadline.
    """
    end = time.monotonic() + deadline
    while not (answer := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline:g} s: {what}")
        time.sleep(POLL_SECONDS)
    return answer
