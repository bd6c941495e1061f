"""What a live stream costs its caller: one prediction for each minute in which it is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loguru import logger

from project.accounts.caller import Caller
from project.accounts.quota import Quota, Reservation
from project.accounts.services import AccountServices
from project.api.streams.session import StreamSession, refusal
from project.errors import DatabaseUnavailable, QuotaExceeded

MINUTE_SECONDS = 60.0


@asynccontextmanager
async def charge_minutes(
    accounts: AccountServices | None,
    caller: Caller | None,
    session: StreamSession,
    *,
    seconds: float = MINUTE_SECONDS,
) -> "AsyncIterator[StreamMinutes | None]":
    """Charge a session while the context is open, and end it where the quota is used up.

    seconds: of a minute. Entering raises what Charge raises; with AUTH=off nothing is charged.
    """
    if accounts is None or caller is None:
        yield None
        return
    await accounts.take_rate(caller)
    minutes = StreamMinutes(accounts.quota, caller, session)
    await minutes.reserve()
    task = asyncio.create_task(minutes.charge_forever(seconds))
    try:
        yield minutes
    finally:
        task.cancel()
        await asyncio.wait([task])
        await minutes.end()


class StreamMinutes:
    """The minutes of one session; the present one is reserved before it begins.

    caller: as it was authenticated last; its quota holds for the next minute.
    """

    def __init__(self, quota: Quota, caller: Caller, session: StreamSession) -> None:
        self.caller = caller
        self._quota = quota
        self._session = session
        self._answered = 0  # frames, at the beginning of the minute
        self._reservation: Reservation | None = None

    async def reserve(self) -> None:
        """Reserve a minute. Raises QuotaExceeded, and DatabaseUnavailable."""
        self._reservation = await self._quota.reserve(self.caller.user_id, self.caller.quota)

    async def charge_forever(self, seconds: float) -> None:
        """Count each minute at its end, and reserve the next, until the quota is used up."""
        while True:
            await asyncio.sleep(seconds)
            self._count_if_answered()
            if self._reservation is not None:  # nothing was answered: the next one is as good
                continue
            try:
                await self.reserve()
            except QuotaExceeded as error:
                self._session.end(refusal(error))
                return
            except DatabaseUnavailable:  # a stream outlives that; this minute costs nothing
                logger.warning("stream_minute_not_counted")

    async def end(self) -> None:
        """Count the last minute, or give it back."""
        self._count_if_answered()
        if self._reservation is not None:
            await self._reservation.give_back()

    def _count_if_answered(self) -> None:
        answered = self._session.counts.processed
        if answered > self._answered and self._reservation is not None:
            self._reservation.count()
            self._reservation = None
        self._answered = answered
