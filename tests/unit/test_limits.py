"""The rates in memory, their header fields, and a store that does not answer."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItem
from loguru import logger
from prometheus_client import REGISTRY

from project.accounts.limits import REFUSED_SECONDS, RateLimits
from project.accounts.rate_limit_fields import LimitState, rate_limit_fields
from project.accounts.rate_store import MemoryRates, RateStore, StoreUnavailable, Window
from project.errors import LimitsUnavailable, RateLimited

pytestmark = pytest.mark.anyio
NONE = Window(0, 0.0, 1, 7200.0)


@dataclass
class FakeStore(RateStore):
    """Allows everything. away: it does not answer."""

    away: bool = False
    asked: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    async def take(self, rate: RateLimitItem, *key: str, count: int = 1) -> tuple[bool, Window]:
        self.asked.append("/".join(key))
        self.counts.append(count)
        await self.check()
        return True, NONE

    async def check(self) -> None:
        if self.away:
            raise StoreUnavailable("ConnectionError")


@dataclass
class Clock:
    """Seconds, as the test says."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def rates(
    store: RateStore | None = None, *, fail_open: bool = True, clock: Clock | None = None
) -> RateLimits:
    """Three requests of a caller in an hour, and two of an address."""
    return RateLimits(
        store or MemoryRates(),
        caller_rate="3/hour",
        address_rate="2/hour",
        fail_open=fail_open,
        monotonic=clock or Clock(),
    )


def worker_of(store: RateStore, clock: Clock, rate: str) -> RateLimits:
    """The rates of one worker on a store that may be shared."""
    return RateLimits(
        store, caller_rate=rate, address_rate="2/hour", fail_open=True, monotonic=clock
    )


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """The messages of the log lines of this test, from INFO on."""
    lines: list[str] = []
    handler = logger.add(lambda line: lines.append(line.record["message"]), level="INFO")
    yield lines
    logger.remove(handler)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_caller_may_send_so_many_and_no_other_is_concerned():
    """The refusal says when to come back, and names the rate."""
    limits = rates()
    before = counted("rate_limit_refusals_total", scope="caller")
    left = [await limits.take_caller("ann") for _ in range(3)]
    assert [state.remaining for state in left if state] == [2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        await limits.take_caller("ann")
    assert await limits.take_caller("bob")
    headers = refused.value.headers
    ((name, parameters),) = http_sf.parse(headers["RateLimit"].encode(), tltype="list")
    assert (name, parameters["r"]) == ("rate", 0)
    assert 1 <= parameters["t"] <= int(headers["Retry-After"]) <= 3601
    assert counted("rate_limit_refusals_total", scope="caller") == before + 1


async def test_most_requests_of_a_busy_caller_make_no_trip_to_the_store():
    """A trip costs some per cent of a prediction; each request is counted before it is sent."""
    store, clock = FakeStore(), Clock()
    limits = worker_of(store, clock, "100000/hour")
    for sent in range(1, 501):
        assert await limits.take_caller("ann")
        assert sum(store.counts) >= sent
        clock.now += 0.01
    assert len(store.counts) < 500 / 4
    assert sum(store.counts) < 500 + 30


async def test_a_caller_that_sends_now_and_then_takes_nothing_in_advance():
    """It would count as sent after a second."""
    store, clock = FakeStore(), Clock()
    limits = worker_of(store, clock, "100000/hour")
    for _ in range(40):
        assert await limits.take_caller("ann")
        clock.now += 0.3
    assert store.counts == [1] * 40


async def test_what_was_taken_in_advance_is_void_after_a_second():
    """Else a caller could save it up, and send more at once than its rate."""
    store, clock = FakeStore(), Clock()
    limits = worker_of(store, clock, "100000/hour")
    for _ in range(150):
        await limits.take_caller("ann")
        clock.now += 0.01
    trips = len(store.counts)
    clock.now += 1
    assert await limits.take_caller("ann")
    assert len(store.counts) == trips + 1


async def test_workers_together_let_no_more_through_than_the_rate():
    """And hardly less; near the limit they take one by one. The header says about what is left."""
    store, clock = MemoryRates(), Clock()
    workers = [worker_of(store, clock, "600/hour") for _ in range(2)]
    left = []
    with suppress(RateLimited):
        for sent in range(1000):
            state = await workers[sent % 2].take_caller("ann")
            assert state
            left.append(state.remaining)
            clock.now += 0.01
    assert 580 <= len(left) <= 600
    assert all(abs(600 - sent - found) <= 30 for sent, found in enumerate(left, 1))


async def test_requests_at_once_take_one_lease_between_them():
    """Not each a lease of its own."""
    clock, begun, answer = Clock(), asyncio.Event(), asyncio.Event()

    class Slow(FakeStore):
        async def take(self, rate: RateLimitItem, *key: str, count: int = 1) -> tuple[bool, Window]:
            found = await super().take(rate, *key, count=count)
            if begun.is_set():
                await answer.wait()
            return found

    store = Slow()
    limits = worker_of(store, clock, "100000/hour")
    for _ in range(100):
        await limits.take_caller("ann")
        clock.now += 0.01
    clock.now += 0.5
    begun.set()
    store.counts.clear()
    waiting = asyncio.gather(*(limits.take_caller("ann") for _ in range(10)))
    await asyncio.sleep(0)
    answer.set()
    await waiting
    assert sorted(store.counts)[:-1] == [1] * 9
    assert max(store.counts) > 1


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        (None, "unix:", True),
    ],
)
async def test_an_address_is_one_of_ipv4_or_a_network_of_ipv6(first, second, same):
    """A client has as many addresses of its IPv6 network as it likes."""
    limits = rates()
    before = counted("rate_limit_refusals_total", scope="address")
    for _ in range(2):
        await limits.take_address(first)
    if same:
        with pytest.raises(RateLimited):
            await limits.take_address(second)
    else:
        await limits.take_address(second)
    assert counted("rate_limit_refusals_total", scope="address") == before + same


async def test_the_refusal_of_an_address_is_remembered_for_seconds():
    """Of that address alone; the store, which may allow it again, is not asked meanwhile."""
    clock, store = Clock(), MemoryRates()
    limits = rates(store, clock=clock)
    for _ in range(2):
        await limits.take_address("192.0.2.1")
    assert limits.refusal_of("192.0.2.1") is None
    with pytest.raises(RateLimited) as refused:
        await limits.take_address("192.0.2.1")
    again = limits.refusal_of("192.0.2.1")
    assert again is not None
    assert again.headers == refused.value.headers
    assert limits.refusal_of("192.0.2.2") is None
    clock.now += REFUSED_SECONDS
    assert limits.refusal_of("192.0.2.1") is None


@pytest.mark.parametrize("fail_open", [True, False])
async def test_a_store_that_is_away_is_logged_once_and_asked_rarely(fail_open, messages):
    """LIMITS_FAIL says whether requests pass; each is counted."""
    store, clock = FakeStore(), Clock()
    limits = rates(store, fail_open=fail_open, clock=clock)
    decision = "passed" if fail_open else "refused"
    before = counted("rate_limit_unchecked_total", decision=decision)
    store.away = True
    for _ in range(5):
        if fail_open:
            assert await limits.take_caller("ann") is None
        else:
            with pytest.raises(LimitsUnavailable) as refused:
                await limits.take_caller("ann")
            assert int(refused.value.headers["Retry-After"]) >= 1
    assert len(store.asked) == 1
    assert not await limits.is_up()
    clock.now += 2
    store.away = False
    assert await limits.take_caller("ann")
    assert await limits.is_up()
    assert counted("rate_limit_unchecked_total", decision=decision) == before + 5
    assert messages == ["limit_store_not_answering", "limit_store_answers"]


def test_the_fields_are_structured_lists():
    """In the form of the draft: names are strings, numbers are integers."""
    fields = rate_limit_fields(
        [LimitState("month", 10, 2_678_400, 3, 1_209_600), LimitState("rate", 60, 60, 59, 1)]
    )
    policies = http_sf.parse(fields["RateLimit-Policy"].encode(), tltype="list")
    left = http_sf.parse(fields["RateLimit"].encode(), tltype="list")
    assert policies == [("month", {"q": 10, "w": 2_678_400}), ("rate", {"q": 60, "w": 60})]
    assert left == [("month", {"r": 3, "t": 1_209_600}), ("rate", {"r": 59, "t": 1})]


def later(window: Window, passed: float, seconds: int) -> int:
    """What counts after a while in which nothing is sent."""
    rest = window.current_ttl - seconds
    if passed < rest:
        left = max(0.0, window.previous_ttl - passed)
        return math.floor(window.previous * left / seconds) + window.current
    left = max(0.0, rest + seconds - passed)
    return math.floor(window.current * left / seconds)


@given(
    previous=st.integers(0, 1000),
    current=st.integers(0, 1000),
    rest=st.floats(0.01, 60, allow_nan=False),
    share=st.floats(0, 1),
)
def test_so_much_time_is_enough_and_a_second_less_is_not(previous, current, rest, share):
    """Retry-After is not too early, and not much too late."""
    seconds = 60
    window = Window(previous, rest if previous else 0.0, current, rest + seconds)
    count = math.floor(window.count(seconds) * share)
    wait = math.floor(window.seconds_until(count, seconds)) + 1
    assert later(window, wait, seconds) <= count
    if wait > 2:
        assert later(window, wait - 2, seconds) > count
