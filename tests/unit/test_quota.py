"""The quota within one process: blocks, refusals, month ends, and a database that is away."""

import asyncio
from calendar import timegm
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from project.accounts.charge import limit_headers
from project.accounts.quota import Quota, Reservation
from project.accounts.rate_limit_fields import RATE, LimitState
from project.db.usage import month_bounds, month_of
from project.errors import DatabaseUnavailable, QuotaExceeded
from tests.usage import FakeUsage, caller

pytestmark = pytest.mark.anyio

NOVEMBER = float(timegm((2026, 11, 30, 23, 59, 0)))
MINUTE = 60.0
FAR = 1_000_000  # a quota that no test comes near


@dataclass
class Clock:
    """Time, as the test says."""

    now: float = NOVEMBER

    def __call__(self) -> float:
        return self.now


@dataclass
class Setup:
    """Processes that share a table."""

    usage: FakeUsage = field(default_factory=FakeUsage)
    clock: Clock = field(default_factory=Clock)

    def process(self) -> Quota:
        return Quota(self.usage, clock=self.clock, monotonic=self.clock)

    def row(self, month: str = "2026-11") -> tuple[int, int]:
        """Reserved and used."""
        reserved, used = self.usage.rows["ann", month]
        return reserved, used


async def make(quota: Quota, count: int, limit: int = FAR) -> None:
    """Make predictions, one after the other."""
    for _ in range(count):
        (await quota.reserve("ann", limit)).count()


async def test_a_prediction_far_from_the_limit_costs_no_query():
    """But one in a block."""
    setup = Setup()
    quota = setup.process()
    await make(quota, 1000)
    assert setup.usage.calls <= 1000 / 100 + 2
    assert setup.row()[1] == 0  # before it is written
    await quota.flush()
    assert setup.row()[1] == 1000


@pytest.mark.parametrize("limit", [1, 10, 49, 50, 99, 100, 500])
async def test_a_block_is_at_most_a_fiftieth_of_what_is_left(limit):
    """What a killed process loses is little, and all of the quota can be used by one."""
    setup = Setup()
    quota = setup.process()
    for made in range(limit):
        before = setup.row()[0] if made else 0
        await make(quota, 1, limit)
        assert setup.row()[0] - before <= max(1, (limit - before) // 50)
    with pytest.raises(QuotaExceeded):
        await quota.reserve("ann", limit)
    await quota.aclose()
    assert setup.row() == (limit, limit)


async def test_what_is_left_of_a_block_is_given_back_when_its_user_is_idle():
    """Another process may use it; this one asks again."""
    setup = Setup()
    quota = setup.process()
    await make(quota, 3)
    assert setup.row()[0] > 3
    await quota.flush()
    assert setup.row()[0] > 3
    setup.clock.now += 10
    await quota.flush()
    assert setup.row() == (3, 3)
    await make(quota, 1)
    await quota.aclose()
    assert setup.row() == (4, 4)


async def test_a_failure_near_the_limit_is_given_back_at_once():
    """The client tries again, and another process has its request."""
    setup = Setup()
    one, other = setup.process(), setup.process()
    reservation = await one.reserve("ann", 1)
    with pytest.raises(QuotaExceeded):
        await other.reserve("ann", 1)
    await reservation.give_back()
    setup.clock.now += 1  # a refusal is repeated for a moment without a query
    (await other.reserve("ann", 1)).count()
    await other.aclose()
    assert setup.row() == (1, 1)


async def test_a_failure_far_from_the_limit_costs_no_query():
    """The next prediction has it."""
    setup = Setup()
    quota = setup.process()
    await make(quota, 2)
    calls = setup.usage.calls
    for _ in range(50):
        await (await quota.reserve("ann", FAR)).give_back()
    assert setup.usage.calls == calls


async def test_a_refusal_says_when_it_resets_and_is_counted():
    """Retry-After is the month's end, and not earlier."""
    setup = Setup()
    name = "quota_refusals_total"
    before = REGISTRY.get_sample_value(name) or 0
    with pytest.raises(QuotaExceeded, match="2026-12-01T00:00:00Z") as refused:
        await setup.process().reserve("ann", 0)
    assert refused.value.headers["Retry-After"] == "60"
    assert REGISTRY.get_sample_value(name) == before + 1


async def test_a_user_without_quota_left_costs_few_queries():
    """However often it asks; but a quota that was raised holds at once."""
    setup = Setup()
    quota = setup.process()
    for _ in range(20):
        with pytest.raises(QuotaExceeded):
            await quota.reserve("ann", 0)
    assert setup.usage.calls == 1
    (await quota.reserve("ann", 1)).count()


async def test_a_new_month_begins_in_utc_and_the_old_one_is_settled():
    """What was reserved before the end counts in the month of its beginning."""
    setup = Setup()
    quota = setup.process()
    await make(quota, 9, 10)
    under_way = await quota.reserve("ann", 10)
    with pytest.raises(QuotaExceeded):
        await quota.reserve("ann", 10)
    setup.clock.now += MINUTE
    await make(quota, 4, 10)
    under_way.count()
    await quota.aclose()
    assert setup.row("2026-11") == (10, 10)
    assert setup.row("2026-12") == (4, 4)


def test_months_follow_each_other():
    """Also over the end of a year, and through a leap day."""
    begin, end = month_bounds(float(timegm((2026, 12, 31, 23, 59, 59))))
    assert (month_of(begin), month_of(end - 0.001), month_of(end)) == (
        "2026-12",
        "2026-12",
        "2027-01",
    )
    begin, end = month_bounds(float(timegm((2028, 2, 29, 12, 0, 0))))
    assert end - begin == 29 * 86_400


async def test_the_month_is_what_was_made_and_what_is_left():
    """Made here and not written yet, and written by others."""
    setup = Setup()
    one, other = setup.process(), setup.process()
    await make(other, 2, 10)
    await other.flush()
    await make(one, 3, 10)
    under_way = await one.reserve("ann", 10)
    month = await one.month("ann", 10)
    assert (month.used, month.left, month.quota) == (5, 4, 10)
    assert month.resets_at == setup.clock.now + MINUTE
    await under_way.give_back()
    assert (await one.month("ann", 10)).left == 5
    assert one.state("ann", 10).remaining == 5


async def test_a_process_that_has_not_seen_a_user_does_not_say_what_is_left():
    """It would say that all is, however much the user has made elsewhere."""
    setup = Setup()
    one, other = setup.process(), setup.process()
    await make(one, 10, 10)
    rate = LimitState(RATE, 600, 60, 599, 1)
    assert limit_headers(caller(), other, None) == {}
    assert limit_headers(caller(), other, rate)["RateLimit"] == '"rate";r=599;t=1'
    with pytest.raises(QuotaExceeded):
        await other.reserve("ann", 10)
    assert limit_headers(caller(), other, None)["RateLimit"] == '"month";r=0;t=60'


async def test_nothing_is_lost_while_the_database_is_away():
    """What was made is written when it is back; near the limit nothing is given out meanwhile."""
    setup = Setup()
    quota = setup.process()
    await make(quota, 3, 10)
    under_way = await quota.reserve("ann", 10)
    setup.usage.away = True
    await quota.flush()
    await under_way.give_back()
    with pytest.raises(DatabaseUnavailable):
        await make(quota, 2, 10)
    setup.usage.away = False
    await quota.aclose()
    assert setup.row() == (4, 4)


@pytest.mark.parametrize("limit", [10, FAR])
async def test_what_may_have_been_given_back_is_not_given_back_again(limit):
    """Or less would be reserved than was made, and more could be made than the quota."""
    setup = Setup()
    quota = setup.process()
    await make(quota, 3, limit)
    under_way = await quota.reserve("ann", limit)
    setup.clock.now += 10
    setup.usage.unconfirmed = True
    await quota.flush()
    await under_way.give_back()
    setup.usage.unconfirmed = False
    await quota.aclose()
    reserved, used = setup.row()
    assert reserved >= 3
    assert used == 6  # twice, as it may not have been written


async def test_a_request_that_is_cancelled_while_it_reserves_loses_nothing():
    """The next one has what it asked for."""
    asked, answer = asyncio.Event(), asyncio.Event()

    class SlowUsage(FakeUsage):
        async def reserve(self, user_id: str, month: str, count: int, quota: int) -> int | None:
            asked.set()
            await answer.wait()
            return await super().reserve(user_id, month, count, quota)

    setup = Setup(SlowUsage())
    quota = setup.process()
    waiting = asyncio.create_task(quota.reserve("ann", 1))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer.set()
    (await quota.reserve("ann", 1)).count()
    await quota.aclose()
    assert setup.row() == (1, 1)


actions = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "count", "give_back", "hand_over", "flush", "wait", "away"]),
        st.integers(0, 1),
    ),
    max_size=60,
)


@dataclass
class TwoProcesses:
    """Two processes that share a table, and what they have under way."""

    setup: Setup
    limit: int
    made: int = 0
    handed_over: int = 0
    under_way: tuple[list[Reservation], list[Reservation]] = field(default_factory=lambda: ([], []))

    def __post_init__(self) -> None:
        self.processes = (self.setup.process(), self.setup.process())

    async def act(self, name: str, which: int) -> None:
        """Do one thing in one of the processes."""
        quota, reservations = self.processes[which], self.under_way[which]
        self.setup.usage.away = name == "away"
        if name in {"reserve", "away"}:
            with suppress(QuotaExceeded, DatabaseUnavailable):
                reservations.append(await quota.reserve("ann", self.limit))
        elif name == "flush":
            await quota.flush()
        elif name == "wait":
            self.setup.clock.now += 3
        elif reservations:
            await self._end(reservations.pop(), name)

    async def _end(self, reservation: Reservation, name: str) -> None:
        if name == "count":
            reservation.count()
            self.made += 1
        elif name == "hand_over":
            reservation.hand_over()
            self.handed_over += 1
        else:
            await reservation.give_back()

    async def close(self) -> None:
        """Give everything back, and close."""
        self.setup.usage.away = False
        for quota, reservations in zip(self.processes, self.under_way, strict=True):
            for reservation in reservations:
                await reservation.give_back()
            await quota.aclose()


@given(limit=st.integers(0, 130), steps=actions)
def test_never_more_than_the_quota_is_made(limit, steps):
    """Whatever two processes do; and in the end all is accounted for."""

    async def run() -> None:
        setup = Setup()
        both = TwoProcesses(setup, limit)
        for name, which in steps:
            await both.act(name, which)
            begun = sum(map(len, both.under_way))
            assert both.made + both.handed_over + begun <= limit
        await both.close()
        row = setup.usage.rows.get(("ann", "2026-11"), [0, 0])
        assert row == [both.made + both.handed_over, both.made]

    asyncio.run(run())
