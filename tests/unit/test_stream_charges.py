"""What a live stream costs: a prediction for each minute in which a frame was answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from project.accounts.quota import Quota
from project.accounts.services import AccountServices
from project.api.streams.charges import charge_minutes
from project.api.streams.session import Counts, Ending, StreamSession
from project.errors import QuotaExceeded
from tests.usage import FakeUsage, caller

pytestmark = pytest.mark.anyio
SECONDS = 0.01  # of a minute
LONG = 3600.0
DEADLINE = 30.0


@dataclass
class FakeSession:
    """Counts what the test says; its end is an event."""

    counts: Counts = field(default_factory=Counts)
    ending: Ending | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, ending: Ending) -> None:
        self.ending = ending
        self.ended.set()


@dataclass
class FakeAccounts:
    """Accounts with a quota, and without a rate."""

    usage: FakeUsage = field(default_factory=FakeUsage)

    def __post_init__(self) -> None:
        self.quota = Quota(self.usage)

    async def take_rate(self, _caller: object) -> None:
        """Allow every stream."""

    async def totals(self) -> list[int]:
        """Reserved and used, when all is written."""
        await self.quota.aclose()
        (row,) = self.usage.rows.values()
        return row


@asynccontextmanager
async def streaming(
    accounts: FakeAccounts, limit: int, seconds: float
) -> AsyncIterator[FakeSession]:
    """A session of a caller with this quota."""
    session = FakeSession()
    charging = charge_minutes(
        cast("AccountServices", accounts),
        caller(quota=limit),
        cast("StreamSession", session),
        seconds=seconds,
    )
    async with charging:
        yield session


async def test_a_stream_that_is_answered_costs_its_first_minute():
    """However many frames are in it."""
    accounts = FakeAccounts()
    async with streaming(accounts, 5, LONG) as session:
        session.counts.processed = 100
    assert await accounts.totals() == [1, 1]


async def test_a_stream_without_an_answer_costs_nothing():
    """However long it is open."""
    accounts = FakeAccounts()
    async with streaming(accounts, 5, SECONDS) as session:
        await asyncio.sleep(5 * SECONDS)
        assert session.ending is None
    assert await accounts.totals() == [0, 0]


async def test_a_stream_ends_when_the_quota_is_used_up():
    """With a code that says so; each of its minutes is counted."""
    accounts = FakeAccounts()

    async def answer(session: FakeSession) -> None:
        while True:
            session.counts.processed += 1
            await asyncio.sleep(0)

    async with streaming(accounts, 3, SECONDS) as session:
        answering = asyncio.create_task(answer(session))
        await asyncio.wait_for(session.ended.wait(), DEADLINE)
        answering.cancel()
    assert session.ending is not None
    assert (session.ending.code, session.ending.outcome) == (4429, "refused")
    assert await accounts.totals() == [3, 3]


async def test_another_quota_holds_from_the_next_minute():
    """An administrator has lowered it while the stream is open."""
    accounts = FakeAccounts()
    session = FakeSession()
    charging = charge_minutes(
        cast("AccountServices", accounts),
        caller(quota=5),
        cast("StreamSession", session),
        seconds=SECONDS,
    )
    async with charging as minutes:
        assert minutes is not None
        minutes.caller = caller(quota=0)
        session.counts.processed = 1
        await asyncio.wait_for(session.ended.wait(), DEADLINE)
    assert session.ending is not None
    assert session.ending.code == 4429


async def test_a_stream_does_not_begin_without_quota():
    """Its route tells why."""
    accounts = FakeAccounts()
    with pytest.raises(QuotaExceeded):
        async with streaming(accounts, 0, LONG):
            pytest.fail("it has begun")


async def test_a_stream_outlives_a_database_that_is_away():
    """Its minutes cost nothing meanwhile, and are counted again when it is back."""
    accounts = FakeAccounts()
    async with streaming(accounts, 5, SECONDS) as session:
        session.counts.processed += 1
        accounts.usage.away = True
        calls = accounts.usage.calls
        async with asyncio.timeout(DEADLINE):
            while accounts.usage.calls < calls + 3:  # noqa: ASYNC110 - time is awaited
                await asyncio.sleep(SECONDS)
        accounts.usage.away = False
        async with asyncio.timeout(DEADLINE):
            while accounts.usage.rows and accounts.usage.calls < calls + 4:  # noqa: ASYNC110
                await asyncio.sleep(SECONDS)
        session.counts.processed += 1
        assert session.ending is None
    assert (await accounts.totals())[1] == 2
