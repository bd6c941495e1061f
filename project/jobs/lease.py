"""What stands over a job while it runs: its lease, whether it is still wanted, and its time.

The lease is renewed on the event loop while the steps run in a thread; between two steps the
thread asks here whether to go on.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loguru import logger

from project.db.job_transitions import Job, JobTransitions
from project.errors import DatabaseUnavailable

BEAT_SECONDS = 1.0  # between two renewals: how stale progress is, and how late a cancel is seen
RENEWALS = 4  # of a lease before it lapses, at least


class Stop(Exception):
    """Ends a run between two steps."""


class Cancelled(Stop):
    """Its caller no longer wants it."""


class LeaseLost(Stop):
    """Another worker may have it by now; what was made here counts for nothing."""


class TimeUp(Stop):
    """It took longer than a job may."""


class Leaving(Stop):
    """The worker is to end; another will run the job."""


class Lease:
    """Over one run of one job. owner: of its lease; lease, limit: seconds, of lease and run."""

    def __init__(
        self,
        jobs: JobTransitions,
        job: Job,
        owner: str,
        *,
        lease: float,
        limit: float,
        leaving: asyncio.Event,
    ) -> None:
        self.progress = 0.0
        self._jobs = jobs
        self._job = job
        self._owner = owner
        self._lease = lease
        self._end = time.monotonic() + limit
        self._leaving = leaving
        self._cancelled = job.cancel_requested
        self._lost = False

    def check(self, progress: float) -> None:
        """Note the share done. Raises a Stop; called between steps, in whatever thread."""
        self.progress = max(self.progress, min(progress, 1.0))
        now = time.monotonic()
        if self._lost:
            raise LeaseLost
        if self._cancelled:
            raise Cancelled
        if now > self._end:
            raise TimeUp
        if self._leaving.is_set():
            raise Leaving

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the lease for the length of the body."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def _renew(self) -> None:
        beat = min(BEAT_SECONDS, self._lease / RENEWALS)
        while not self._lost:
            await asyncio.sleep(beat)
            try:
                renewal = await self._jobs.renew(
                    self._job.id, self._owner, time.time(), self._lease, self.progress
                )
            except DatabaseUnavailable:
                # Nobody else can claim the job either; if somebody does, this run's end is void.
                logger.warning("job_lease_not_renewed")
                continue
            if renewal is None:
                self._lost = True
            else:
                self._cancelled = renewal.cancel_requested
