"""Renews the lease of a job while it runs, and stops the attempt when it must end.

The event loop renews the lease while the steps run in a thread; between two steps the thread calls
`report_progress`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loguru import logger

from project.db.job_transitions import JobTransitions
from project.db.records import Job
from project.errors import DatabaseUnavailable

RENEW_SECONDS = 1.0  # between two renewals: the staleness of progress, the delay of a cancellation
MIN_RENEWALS = 4  # in the length of a lease


class Stop(Exception):
    """Stops an attempt between two steps."""


class Cancelled(Stop):
    """The client cancelled the job."""


class LeaseLost(Stop):
    """Another worker may run the job, so this attempt has no outcome."""


class TimeLimitExceeded(Stop):
    """The attempt took longer than JOB_SECONDS."""


class Draining(Stop):
    """The worker is shutting down; another worker runs the job."""


class Lease:
    """The lease of one attempt of a job.

    owner: the id of the attempt; lease_seconds: its length; time_limit: of the attempt, in
    seconds; draining: set when the worker shuts down.
    """

    def __init__(
        self,
        transitions: JobTransitions,
        job: Job,
        owner: str,
        *,
        lease_seconds: float,
        time_limit: float,
        draining: asyncio.Event,
        renew_seconds: float = RENEW_SECONDS,
    ) -> None:
        self.progress = 0.0
        self._transitions = transitions
        self._job = job
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._renew_seconds = min(renew_seconds, lease_seconds / MIN_RENEWALS)
        self._deadline = time.monotonic() + time_limit
        self._draining = draining
        self._cancelled = job.cancel_requested
        self._lost = False

    def report_progress(self, progress: float) -> None:
        """Record the fraction done, 0 to 1. Raises a Stop. Any thread may call it."""
        self.progress = max(self.progress, min(progress, 1.0))
        if self._lost:
            raise LeaseLost
        if self._cancelled:
            raise Cancelled
        if time.monotonic() > self._deadline:
            raise TimeLimitExceeded
        if self._draining.is_set():
            raise Draining

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Renew the lease while the context is open."""
        renewal = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])

    async def _renew(self) -> None:
        while not self._lost:
            await asyncio.sleep(self._renew_seconds)
            try:
                renewal = await self._transitions.renew(
                    self._job.id, self._owner, time.time(), self._lease_seconds, self.progress
                )
            except DatabaseUnavailable:
                # No other worker can claim the job now. If one does later, this run has no outcome.
                logger.warning("job_lease_not_renewed")
                continue
            if renewal is None:
                self._lost = True
            else:
                self._cancelled = renewal.cancel_requested
