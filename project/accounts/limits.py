"""The rates: how much a caller, and an address without one, may send at a time.

A sliding window counter, by the library `limits`: in Redis, which all workers share, or in the
memory of each worker where there is none. Where the store does not answer, LIMITS_FAIL says whether
requests pass; it is asked again after a pause, so that requests do not wait for it one by one.

A trip to Redis costs some per cent of a prediction. So a process takes the requests of a busy
caller in advance, a quarter of what it sent in the second before, and a fiftieth of what is left at
most; what it has not sent after a second counts as sent.
"""

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from limits import RateLimitItem, RateLimitItemPerSecond
from loguru import logger

from project.accounts.rate_limit_fields import RATE, LimitState, rate_limit_fields
from project.accounts.rate_store import (
    MemoryRates,
    RateStore,
    RedisRates,
    StoreUnavailable,
    Window,
)
from project.errors import LimitsUnavailable, RateLimited
from project.observability.metrics import RATE_LIMIT_REFUSALS, RATE_LIMIT_UNCHECKED
from project.settings import Settings
from project.settings.accounts import parse_rate

AddressKind = Literal["sign-in", "failure"]

BACKOFF_SECONDS = 1.0  # for which a store that failed is not asked
LEASE_SECONDS = 1.0  # for which requests may be taken in advance
SENT_SHARE = 4  # of what a caller sent in that time, a lease is at most this part
LEFT_SHARE = 50  # and this part of what is left of its rate
MAX_LEASES = 10_000  # of callers, in a process
REFUSED_SECONDS = 5.0  # for which a process remembers the refusal of an address
MAX_REFUSED = 10_000  # addresses in the memory of a process
IPV6_NETWORK = 64  # bits: a client has as many addresses of such a network as it likes


@dataclass(slots=True)
class Lease:
    """What this process has taken of a caller's rate in advance, and how much the caller sends.

    free: taken, and not sent. state: as of the last trip to the store. trips: under way. Times are
    monotonic seconds.
    """

    free: int = 0
    ends_at: float = -math.inf
    state: LimitState | None = None
    trips: int = 0
    sent: int = 0
    sent_before: int = 0  # in the LEASE_SECONDS before
    counted_until: float = -math.inf

    def take(self, now: float) -> LimitState | None:
        """What is left after one more request, if the lease has one."""
        if now >= self.counted_until:
            is_busy = now < self.counted_until + LEASE_SECONDS
            self.sent_before = self.sent if is_busy else 0
            self.sent, self.counted_until = 0, now + LEASE_SECONDS
        self.sent += 1
        if now >= self.ends_at:
            self.free = 0
        if not self.free or self.state is None:
            return None
        self.free -= 1
        return replace(self.state, remaining=self.state.remaining + self.free)

    def wanted(self) -> int:
        """How many to take with the next trip; one while another trip brings more."""
        if self.trips or self.state is None:
            return 1
        return max(1, min(self.sent_before // SENT_SHARE, self.state.remaining // LEFT_SHARE))

    def renew(self, state: LimitState, free: int, now: float) -> LimitState:
        """Note what a trip has brought besides its own request, and return what is left then."""
        self.state, self.free, self.ends_at = state, self.free + free, now + LEASE_SECONDS
        return replace(state, remaining=state.remaining + self.free)


class RateLimits:
    """The rates of callers and of addresses.

    fail_open: whether requests pass while the store does not answer. monotonic: seconds.
    """

    def __init__(
        self,
        store: RateStore,
        *,
        caller_rate: str,
        address_rate: str,
        fail_open: bool,
        backoff_seconds: float = BACKOFF_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._rates = {"caller": _item(caller_rate), "address": _item(address_rate)}
        self._fail_open = fail_open
        self._backoff_seconds = backoff_seconds
        self._monotonic = monotonic
        self._leases: dict[str, Lease] = {}  # by the user's id
        self._refused: dict[str, tuple[float, RateLimited]] = {}  # address → until when, error
        self._is_up = True
        self._ask_after = -math.inf  # while it is not up
        decision = "passed" if fail_open else "refused"
        self._count_unchecked = RATE_LIMIT_UNCHECKED.labels(decision).inc

    @classmethod
    def of(cls, settings: Settings) -> "RateLimits":
        """The rates that the settings name."""
        url = settings.redis_url
        return cls(
            RedisRates(url.get_secret_value()) if url else MemoryRates(),
            caller_rate=settings.caller_rate,
            address_rate=settings.address_rate,
            fail_open=settings.limits_fail == "open",
        )

    async def take_caller(self, user_id: str) -> LimitState | None:
        """Count a request of a user; what is left, or None where the store does not answer.

        Raises RateLimited; LimitsUnavailable with LIMITS_FAIL=closed.
        """
        lease = self._leases.get(user_id) or self._new_lease(user_id)
        leased = lease.take(self._monotonic())
        if leased is not None:
            return leased
        wanted = lease.wanted()
        lease.trips += 1
        try:
            state, taken = await self._take("caller", user_id, wanted=wanted)
        finally:
            lease.trips -= 1
        return state and lease.renew(state, taken - 1, self._monotonic())

    async def take_address(
        self, address: str | None, kind: AddressKind = "failure"
    ) -> LimitState | None:
        """Count a request without a caller, or one whose authentication failed.

        address: of the client, IPv4 or IPv6. kind: each has a count of its own, so that a program
        which repeats a revoked key keeps nobody of its address from signing in. Raises what
        take_caller raises.
        """
        network = _network(address)
        try:
            state, _ = await self._take("address", kind, network)
        except RateLimited as error:
            if kind == "failure":
                self._remember_refusal(network, error)
            raise
        return state

    async def take_renewal(self, family: str) -> LimitState | None:
        """Count a renewal of a session, at the rate of an address. Raises what take_caller raises.

        An office renews the sessions of all its users from one address. family: of its tokens.
        """
        state, _ = await self._take("address", "renewal", family)
        return state

    def refusal_of(self, address: str | None) -> RateLimited | None:
        """The error for an address whose failed authentication was refused here just now.

        It asks no store, and counts nothing.
        """
        if not self._refused:
            return None
        network, now = _network(address), self._monotonic()
        until, error = self._refused.get(network, (-math.inf, None))
        if error is None:
            return None
        if now >= until:
            del self._refused[network]
            return None
        return RateLimited(error.detail, retry_after=error.retry_after, limits=error.headers)

    def _remember_refusal(self, network: str, error: RateLimited) -> None:
        if len(self._refused) >= MAX_REFUSED:
            self._refused.clear()
        seconds = min(error.retry_after, REFUSED_SECONDS)
        self._refused[network] = self._monotonic() + seconds, error

    async def is_up(self) -> bool:
        """Whether the store answers."""
        try:
            await self._store.check()
        except StoreUnavailable as error:
            self._note(is_up=False, reason=str(error))
        else:
            self._note(is_up=True)
        return self._is_up

    async def aclose(self) -> None:
        """Close the store."""
        await self._store.aclose()

    def _new_lease(self, user_id: str) -> Lease:
        if len(self._leases) >= MAX_LEASES:
            self._leases.clear()
        lease = self._leases[user_id] = Lease()
        return lease

    async def _take(self, scope: str, *key: str, wanted: int = 1) -> tuple[LimitState | None, int]:
        """What is left, and how many were counted: as many as are wanted, or one."""
        rate = self._rates[scope]
        found = await self._ask(rate, scope, *key, count=wanted)
        if found is not None and not found[0] and wanted > 1:
            wanted = 1
            found = await self._ask(rate, scope, *key)
        if found is None:
            self._count_unchecked()
            if self._fail_open:
                return None, wanted
            raise LimitsUnavailable("the store of the rates does not answer; try again")
        taken, window = found
        seconds = rate.get_expiry()
        count = window.count(seconds)
        reset = math.floor(window.seconds_until(min(count, rate.amount) - 1, seconds)) + 1
        remaining = max(0, rate.amount - count) if taken else 0
        state = LimitState(RATE, rate.amount, seconds, remaining, reset)
        if taken:
            return state, wanted
        RATE_LIMIT_REFUSALS.labels(scope).inc()
        whose = "you send" if scope == "caller" else "your address sends"
        raise RateLimited(
            f"{whose} more than {rate.amount} requests in {seconds} s; "
            "come back after Retry-After seconds",
            retry_after=reset,
            limits=rate_limit_fields([state]),
        )

    async def _ask(
        self, rate: RateLimitItem, *key: str, count: int = 1
    ) -> tuple[bool, Window] | None:
        if not self._is_up:
            now = self._monotonic()
            if now < self._ask_after:
                return None
            self._ask_after = now + self._backoff_seconds  # this request alone finds out
        try:
            found = await self._store.take(rate, *key, count=count)
        except StoreUnavailable as error:
            self._note(is_up=False, reason=str(error))
            return None
        self._note(is_up=True)
        return found

    def _note(self, *, is_up: bool, reason: str = "") -> None:
        """Log a change, and put off the next question to a store that does not answer."""
        if not is_up:
            self._ask_after = self._monotonic() + self._backoff_seconds
        if is_up == self._is_up:
            return
        self._is_up = is_up
        if is_up:
            logger.info("limit_store_answers")
        else:
            log = logger.bind(reason=reason, limits_fail="open" if self._fail_open else "closed")
            log.warning("limit_store_not_answering")


def _item(rate: str) -> RateLimitItem:
    amount, seconds = parse_rate(rate)
    return RateLimitItemPerSecond(amount, seconds)


def _network(address: str | None) -> str:
    """What stands for a client's address: of IPv6, its network."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), IPV6_NETWORK), strict=False).network_address)
