"""The quota: each user's predictions of a month, counted once over all processes.

A prediction is reserved before it is made, and counted or given back at its end. Far from the
limit a process reserves a block, at most a fiftieth of what is left and MAX_BLOCK, so that most
predictions cost no query; near it, each one is a query. What was made is written about each second
by one task, and what is left of a block is given back when its user sends nothing for a while. So
a user may be refused near the limit for some seconds while another process holds part of a block.

A killed process loses what it had reserved and not given back: the rest of a block, and the
predictions under way. The user cannot make those in this month; never more than the quota.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from loguru import logger

from project.accounts.rate_limit_fields import MONTH, LimitState, rate_limit_fields
from project.db.usage import (
    BLOCK_SHARE,
    ChangeUnconfirmed,
    Usage,
    UsageChange,
    month_bounds,
    month_of,
)
from project.errors import DatabaseUnavailable, QuotaExceeded
from project.observability.metrics import QUOTA_REFUSALS

MAX_BLOCK = 100  # predictions
FLUSH_SECONDS = 1.0
IDLE_SECONDS = 2.0  # without a request of its user, until the rest of a block is given back
FORGET_SECONDS = 60.0  # without a request of its user, until nothing of it is in memory
REFUSED_SECONDS = 0.5  # for which a refusal is repeated without a query
HEAVIEST = 10  # users in a log line
HEAVIEST_SECONDS = 60.0  # between two lines
NEVER = (-math.inf, 0)


@dataclass(frozen=True)
class MonthUsage:
    """A user's month. left: what may still begin; what has begun counts. resets_at: seconds."""

    month: str
    quota: int
    used: int
    left: int
    resets_at: float


@dataclass(eq=False)
class Block:
    """What this process has reserved of a user's month, and not accounted for in the database.

    free: reserved, and not given to a request. held: given to requests that have not ended. used:
    made. reserved: of all processes, as last seen; is_seen: whether the database has said so yet.
    """

    user_id: str
    month: str
    free: int = 0
    held: int = 0
    used: int = 0
    reserved: int = 0
    is_seen: bool = False
    near_limit: bool = True
    asked_at: float = 0.0
    refused: tuple[float, int] = NEVER  # when by the monotonic clock, at which quota
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_in_use(self) -> bool:
        """Whether a request has some of it, or may get it."""
        return bool(self.held or self.free or self.lock.locked())


class Reservation:
    """One prediction that is reserved; end it once, by one of its methods."""

    __slots__ = ("_block", "_quota")

    def __init__(self, quota: "Quota", block: Block) -> None:
        self._quota = quota
        self._block = block
        block.held += 1

    @property
    def month(self) -> str:
        """The month that it counts in."""
        return self._block.month

    def count(self) -> None:
        """Count it as made."""
        self._block.held -= 1
        self._block.used += 1

    async def give_back(self) -> None:
        """Give it back; near the limit to the database, as another process may need it."""
        self._block.held -= 1
        self._block.free += 1
        if self._block.near_limit:
            await self._quota.return_free(self._block)

    def hand_over(self) -> None:
        """Leave it to a job, whose row says so; see Usage.settle_job."""
        self._block.held -= 1


def is_unwritten(error: BaseException) -> bool:
    """Whether a change that ended with this error was certainly not written."""
    return isinstance(error, DatabaseUnavailable) and not isinstance(error, ChangeUnconfirmed)


class Quota:
    """Reserves and counts in one process; all of it runs on the event loop.

    clock: seconds since 1970. monotonic: seconds.
    """

    def __init__(
        self,
        usage: Usage,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.usage = usage
        self._flush_seconds = flush_seconds
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._blocks: dict[tuple[str, str], Block] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._month, self._begin, self._end = "", math.inf, -math.inf  # the month and its bounds
        self._heaviest: Counter[str] = Counter()
        self._heaviest_at = monotonic()

    async def reserve(self, user_id: str, quota: int) -> Reservation:
        """Reserve one prediction. Raises QuotaExceeded, and DatabaseUnavailable."""
        block = self._block(user_id)
        block.asked_at = self._monotonic()
        if not block.free:
            async with block.lock:
                while not block.free:
                    await self._finish_even_if_cancelled(self._refill(block, quota))
        block.free -= 1
        return Reservation(self, block)

    def state(self, user_id: str, quota: int) -> LimitState | None:
        """What is left of this month, as far as this process knows; for headers.

        None where it knows nothing, as the user has predicted nothing here.
        """
        block = self._block(user_id)
        return self._state(block, quota) if block.is_seen else None

    def _state(self, block: Block, quota: int) -> LimitState:
        left = quota - block.reserved + block.free
        reset = max(1, math.ceil(self._end - self._clock()))
        seconds = round(self._end - self._begin)
        return LimitState(MONTH, quota, seconds, min(quota, max(0, left)), reset)

    async def month(self, user_id: str, quota: int) -> MonthUsage:
        """The user's month. Raises DatabaseUnavailable."""
        block = self._block(user_id)
        ends_at = self._end
        reserved, used = await self.usage.get(user_id, block.month)
        left = min(quota, max(0, quota - reserved + block.free))
        return MonthUsage(block.month, quota, used + block.used, left, ends_at)

    async def flush_forever(self) -> None:
        """Write what was made, about each second, until cancelled."""
        while True:
            await asyncio.sleep(self._flush_seconds)
            try:
                await self._finish_even_if_cancelled(self.flush())
            except Exception as error:  # noqa: BLE001 - a bug must not end what gives blocks back
                logger.opt(exception=error).error("usage_flush_broke")
            self._log_heaviest()

    async def flush(self, *, idle_seconds: float | None = None) -> None:
        """Write what was made, and give back what has been idle for so long.

        While the database does not answer, nothing is lost: the next call writes it. Where its
        answer alone may be lost, that second's count is written twice, and nothing is given back
        twice: the user may lose it, and never has more than the quota.
        """
        idle_seconds = self._idle_seconds if idle_seconds is None else idle_seconds
        now, month = self._monotonic(), month_of(self._clock())
        changes = []
        for key, block in list(self._blocks.items()):
            is_idle = now - block.asked_at >= idle_seconds or block.month != month
            returned = block.free if is_idle else 0
            if block.used or returned:
                changes.append(UsageChange(block.user_id, block.month, block.used, returned))
                block.used, block.free = 0, block.free - returned
                block.reserved -= returned
            elif now - block.asked_at >= FORGET_SECONDS and not block.is_in_use:
                del self._blocks[key]
        if not changes:
            return
        try:
            await self.usage.change(changes)
        except BaseException as error:
            for change in changes:
                block = self._block(change.user_id, change.month)
                block.used += change.used
                block.reserved += change.returned
                if is_unwritten(error):
                    block.free += change.returned
            if not isinstance(error, DatabaseUnavailable):
                raise
            logger.bind(users=len(changes)).warning("usage_not_written")
            return
        for change in changes:
            self._heaviest[change.user_id] += change.used

    async def aclose(self) -> None:
        """Write everything, and give everything back."""
        if self._writing:
            await asyncio.wait(self._writing)
        await self.flush(idle_seconds=0)

    async def return_free(self, block: Block) -> None:
        """Give back all that a block has free."""
        await self._finish_even_if_cancelled(self._return_free(block))

    async def _finish_even_if_cancelled(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        await asyncio.shield(task)

    async def _return_free(self, block: Block) -> None:
        returned, block.free = block.free, 0
        if not returned:
            return
        block.reserved -= returned
        block.refused = NEVER
        try:
            await self.usage.change([UsageChange(block.user_id, block.month, 0, returned)])
        except DatabaseUnavailable as error:
            block.reserved += returned
            if is_unwritten(error):
                block.free += returned  # the next flush gives it back

    def _block(self, user_id: str, month: str | None = None) -> Block:
        key = user_id, month or self._current_month()
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = Block(*key)
        return block

    def _current_month(self) -> str:
        now = self._clock()
        if not self._begin <= now < self._end:
            self._month, (self._begin, self._end) = month_of(now), month_bounds(now)
        return self._month

    async def _refill(self, block: Block, quota: int) -> None:
        """Reserve a block where there is room for one, else one prediction."""
        refused_at, refused_quota = block.refused
        if quota == refused_quota and self._monotonic() - refused_at < REFUSED_SECONDS:
            raise self._exceeded(block, quota)
        wanted = 1 if not block.reserved else (quota - block.reserved) // BLOCK_SHARE
        wanted = max(1, min(wanted, MAX_BLOCK))
        reserved = await self.usage.reserve(block.user_id, block.month, wanted, quota)
        if reserved is None and wanted > 1:
            wanted = 1
            reserved = await self.usage.reserve(block.user_id, block.month, wanted, quota)
        block.is_seen = True
        if reserved is None:
            if block.free:  # by a request that was cancelled while it reserved
                return
            block.refused = self._monotonic(), quota
            block.reserved = max(block.reserved, quota)
            raise self._exceeded(block, quota)
        block.reserved = reserved
        block.free += wanted
        block.near_limit = quota - reserved < 2 * BLOCK_SHARE

    def _exceeded(self, block: Block, quota: int) -> QuotaExceeded:
        QUOTA_REFUSALS.inc()
        state = self._state(block, quota)
        at = datetime.fromtimestamp(self._end, UTC)
        return QuotaExceeded(
            f"your {quota} predictions of this month are used up, or under way; the next month "
            f"begins at {at:%Y-%m-%dT%H:%M:%SZ}; an administrator can raise your quota",
            retry_after=state.reset_after,
            limits=rate_limit_fields([state]),
        )

    def _log_heaviest(self) -> None:
        """Log the users with the most predictions, once a minute: too many for a metric's label."""
        now, heaviest = self._monotonic(), +self._heaviest  # without those who only gave back
        if now - self._heaviest_at < HEAVIEST_SECONDS or not heaviest:
            return
        users = dict(heaviest.most_common(HEAVIEST))
        logger.bind(predictions=users, seconds=round(now - self._heaviest_at)).info(
            "heaviest_callers"
        )
        self._heaviest.clear()
        self._heaviest_at = now
