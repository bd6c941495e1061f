"""Where requests are counted by key: Redis, which all workers share, or the process alone.

A sliding window counter, by the library `limits`.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.storage.redis.bridge import RedisBridge
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PREFIX = "vitrine:rate"
REDIS_SECONDS = 0.25  # to connect, and to answer; redis-py's own 5 s would hold every request
CONNECTIONS = 20  # of each process to Redis

# Both scripts of the library in one trip: the answer's header fields need what the second returns.
_TAKE = f"""
local function acquire()
{RedisBridge.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode()}
end
local function window(ARGV)
{RedisBridge.SCRIPT_SLIDING_WINDOW.decode()}
end
local acquired = acquire() and 1 or 0
local found = window({{ARGV[2]}})
return {{acquired, found[1], found[2], found[3], found[4]}}
"""


class StoreUnavailable(Exception):
    """The store does not answer."""


@dataclass(frozen=True, slots=True)
class Window:
    """A counter's two windows: their counts, and the seconds until each of them ends to matter."""

    previous: int
    previous_ttl: float
    current: int
    current_ttl: float  # the current window's rest, and the whole of the one that follows

    def count(self, seconds: int) -> int:
        """What counts now: the current window, and the share of the one before that is recent."""
        return math.floor(self.previous * self.previous_ttl / seconds) + self.current

    def seconds_until(self, count: int, seconds: int) -> float:
        """How long it takes until so much, or less, counts. seconds: of a window."""
        if self.count(seconds) <= count:
            return 0.0
        if self.current <= count:
            return self.previous_ttl - (count + 1 - self.current) * seconds / self.previous
        rest = self.current_ttl - seconds
        return rest + seconds * max(0.0, 1 - (count + 1) / self.current)


class RateStore(ABC):
    """Counts by key."""

    @abstractmethod
    async def take(self, rate: RateLimitItem, *key: str, count: int = 1) -> tuple[bool, Window]:
        """Count so many requests, if the rate allows all of them; and what counts then.

        Raises StoreUnavailable.
        """

    @abstractmethod
    async def check(self) -> None:
        """Raise StoreUnavailable where it does not answer."""

    async def aclose(self) -> None:  # noqa: B027 - not every store has connections
        """Close connections."""


class MemoryRates(RateStore):
    """Counts in this process alone."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    async def take(self, rate: RateLimitItem, *key: str, count: int = 1) -> tuple[bool, Window]:
        """Count so many requests, if the rate allows all of them."""
        taken = await self._limiter.hit(rate, *key, cost=count)
        window = await self._storage.get_sliding_window(rate.key_for(*key), rate.get_expiry())
        return taken, Window(*window)

    async def check(self) -> None:
        """It always answers."""


class RedisRates(RateStore):
    """Counts in a Redis or Valkey that all workers share, in one trip."""

    def __init__(self, url: str, *, seconds: float = REDIS_SECONDS) -> None:
        # One timer for a trip: the client's own, for each of its steps, cost a third of the trip.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._seconds = seconds
        self._redis = Redis(connection_pool=pool)
        self._take = self._redis.register_script(_TAKE)

    async def take(self, rate: RateLimitItem, *key: str, count: int = 1) -> tuple[bool, Window]:
        """Count so many requests, if the rate allows all of them. Raises StoreUnavailable."""
        current = f"{PREFIX}:{{{rate.key_for(*key)}}}"
        arguments = [rate.amount, rate.get_expiry(), count]
        try:
            async with asyncio.timeout(self._seconds):
                found: list[Any] = await self._take([f"{current}/-1", current], arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(type(error).__name__) from error
        taken, *window = (int(value or 0) for value in found)
        previous, previous_ms, current_count, current_ms = window
        ttls = max(0, previous_ms) / 1000, max(0, current_ms) / 1000
        return bool(taken), Window(previous, ttls[0], current_count, ttls[1])

    async def check(self) -> None:
        """Raise StoreUnavailable where it does not answer."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(type(error).__name__) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
