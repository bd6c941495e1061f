"""The rates in a real Valkey: shared by workers, and away for a while."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool

from drills.valkey import Valkey
from drills.waiting import DEADLINE
from project.accounts.limits import RateLimits
from project.accounts.rate_store import PREFIX, REDIS_SECONDS, RedisRates
from project.errors import RateLimited

pytestmark = pytest.mark.anyio
LIMIT = 20
AT_ONCE = 50
BACKOFF = 0.05


@asynccontextmanager
async def worker(
    url: str, rate: str = f"{LIMIT}/hour", *, seconds: float = REDIS_SECONDS
) -> AsyncIterator[RateLimits]:
    """The rates of one worker. seconds: for which it waits for an answer."""
    limits = RateLimits(
        RedisRates(url, seconds=seconds),
        caller_rate=rate,
        address_rate=rate,
        fail_open=True,
        backoff_seconds=BACKOFF,
    )
    try:
        yield limits
    finally:
        await limits.aclose()


async def passes(limits: RateLimits) -> bool:
    """Whether a request of one user passes."""
    try:
        assert await limits.take_caller("ann")
    except RateLimited:
        return False
    return True


async def test_workers_share_a_rate(valkey: Valkey):
    """Of a hundred requests at once over two workers, as many pass as the rate allows.

    The library's own limiter sees the same counter.
    """
    async with AsyncExitStack() as stack:
        patient = [worker(valkey.url, seconds=DEADLINE) for _ in range(2)]
        workers = [await stack.enter_async_context(one) for one in patient]
        asked = [passes(limits) for limits in workers for _ in range(AT_ONCE)]
        assert sum(await asyncio.gather(*asked)) == LIMIT
        pool = ConnectionPool.from_url(valkey.url)
        stack.push_async_callback(pool.disconnect)
        storage = RedisStorage(
            "async+redis://", implementation="redispy", key_prefix=PREFIX, connection_pool=pool
        )
        limiter = SlidingWindowCounterRateLimiter(storage)
        item = RateLimitItemPerSecond(LIMIT, 3600)
        assert not await limiter.test(item, "caller", "ann")
        assert await limiter.test(item, "caller", "bob")


async def test_who_comes_back_after_retry_after_is_served(valkey: Valkey):
    """And the scripts are sent again where the server has forgotten them."""
    async with worker(valkey.url, "2/second") as limits:
        assert await passes(limits)
        valkey.client().script_flush()
        assert await passes(limits)
        with pytest.raises(RateLimited) as refused:
            await limits.take_caller("ann")
        await asyncio.sleep(refused.value.retry_after)
        assert await passes(limits)


async def test_requests_pass_while_the_server_is_down_and_count_again_when_it_is_back(
    valkey: Valkey,
):
    """With LIMITS_FAIL=open; none waits for it."""
    async with worker(valkey.url) as limits:
        assert await limits.take_caller("ann")
        valkey.stop()
        assert not await limits.is_up()
        assert await limits.take_caller("ann") is None
        valkey.start()
        async with asyncio.timeout(10):
            while await limits.take_caller("ann") is None:  # noqa: ASYNC110 - time is awaited
                await asyncio.sleep(BACKOFF)
        assert await limits.is_up()


async def test_a_server_that_hangs_costs_a_request_a_moment():
    """The others do not wait for it at all."""
    ended = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with worker(f"redis://127.0.0.1:{port}") as limits:
            begin = time.perf_counter()
            assert await limits.take_caller("ann") is None
            assert time.perf_counter() - begin < 2  # redis-py by itself would wait for 5 s
            begin = time.perf_counter()
            for _ in range(100):
                await limits.take_caller("ann")
            assert time.perf_counter() - begin < 2
        ended.set()
