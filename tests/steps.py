"""Runs the steps of a model to their end."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def finished(steps: Generator[float, None, T]) -> tuple[list[float], T]:
    """What a model yielded, and what it returned."""
    shares = []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as stop:
            return shares, stop.value
