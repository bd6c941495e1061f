"""Who predicts most is a line in the log each minute: ids and counts, never a metric's label."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from loguru import logger

from project.accounts.quota import Quota
from tests.usage import FakeUsage

pytestmark = pytest.mark.anyio

QUOTA = 1_000_000


class Lines:
    """The lines that were logged, and how to await the next."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self.more = asyncio.Event()

    def note(self, message: Any) -> None:
        self.found.append(message.record["extra"])
        self.more.set()


@contextmanager
def logged() -> Iterator[Lines]:
    lines = Lines()
    only = "heaviest_callers"
    sink = logger.add(lines.note, filter=lambda record: record["message"] == only)
    try:
        yield lines
    finally:
        logger.remove(sink)


async def predict(quota: Quota, **counts: int) -> None:
    for user_id, count in counts.items():
        for _ in range(count):
            (await quota.reserve(user_id, QUOTA)).count()


async def test_the_ten_heaviest_of_a_minute_are_one_line():
    """By id, the heaviest first; who did nothing in the next minute is not in its line."""
    now = [0.0]
    quota = Quota(FakeUsage(), flush_seconds=0.001, monotonic=lambda: now[0])
    flushing = asyncio.create_task(quota.flush_forever())
    try:
        with logged() as lines:
            await predict(quota, **{f"user{number}": number for number in range(1, 13)})
            async with asyncio.timeout(20):
                await quota.flush()
                assert lines.found == []  # the minute is not over
                now[0] = 61.0
                await lines.more.wait()
                (first,) = lines.found
                assert first["predictions"] == {f"user{it}": it for it in range(12, 2, -1)}
                assert list(first["predictions"]) == [f"user{it}" for it in range(12, 2, -1)]
                assert first["seconds"] == 61
                lines.more.clear()
                await predict(quota, user1=3)
                now[0] = 130.0
                await lines.more.wait()
        assert [line["predictions"] for line in lines.found[1:]] == [{"user1": 3}]
    finally:
        flushing.cancel()
        with suppress(asyncio.CancelledError):
            await flushing
