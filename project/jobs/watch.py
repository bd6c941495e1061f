"""What stands over a job while it runs: its lease, whether it is still wanted, and its time.

The lease is renewed on the event loop while the steps run in a thread; between two steps the
thread asks here whether to go on.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loguru import logger

from project.db.jobs import Job, Jobs
from project.errors import DatabaseUnavailable

BEAT_SECONDS = 1.0  # between two renewals: how stale progress is, and how late a cancel is seen


class Stop(Exception):
    """Ends a run between two steps."""


class Cancelled(Stop):
    """Its caller no longer wants it."""


class LeaseLost(Stop):
    """Another worker has it by now; what was made here counts for nothing."""


class TimeUp(Stop):
    """It took longer than a job may."""


class Watch:
    """Over one run of one job. owner: of its lease; seconds: how long the run may take."""

    def __init__(self, jobs: Jobs, job: Job, owner: str, lease: float, seconds: float) -> None:
        self.progress = 0.0
        self._jobs = jobs
        self._job = job
        self._owner = owner
        self._lease = lease
        self._end = time.monotonic() + seconds
        self._renewed = time.monotonic()
        self._cancelled = False
        self._lost = False

    def check(self, progress: float) -> None:
        """Note the share done. Raises Cancelled, LeaseLost or TimeUp; called between steps."""
        self.progress = max(self.progress, min(progress, 1.0))
        now = time.monotonic()
        if self._lost or now - self._renewed > self._lease:
            raise LeaseLost
        if self._cancelled:
            raise Cancelled
        if now > self._end:
            raise TimeUp

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the lease for the length of the body."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        beat = min(BEAT_SECONDS, self._lease / 4)
        while not self._lost:
            await asyncio.sleep(beat)
            if time.monotonic() > self._end + self._lease:
                return  # a step that hangs must not hold the job for ever: its lease may lapse
            now = time.monotonic()
            try:
                renewal = await self._jobs.renew(
                    self._job.id, self._owner, time.time(), self._lease, self.progress
                )
            except DatabaseUnavailable:
                logger.warning("job_lease_not_renewed")
                continue
            if renewal is None:
                self._lost = True
            else:
                self._renewed = now
                self._cancelled = renewal.cancel_requested
