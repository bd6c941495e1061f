"""Looks at the jobs that somebody watches: at all of them in one query, about twice a second."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from loguru import logger

from project.db.job_queries import JobQueries
from project.db.records import Job
from project.errors import DatabaseUnavailable, Overloaded

LOOK_SECONDS = 0.5
PAUSE_SECONDS = 2.0  # before another look where the database was gone
MAX_WATCHERS = 1000  # in one process; each costs memory and a share of the query


class WatchedJob:
    """A job as it was at the last look; None where it is no longer there."""

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.watchers = 0
        self._changed = asyncio.Event()

    def show(self, job: Job | None) -> None:
        """Take what was seen, unless it is older than what is known."""
        if job is None or self.job is None or job.revision > self.job.revision:
            self.job = job
            self.wake()

    def wake(self) -> None:
        """Have all look who wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, seconds: float) -> None:
        """Return at the next change, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()


class JobFeed:
    """All that is watched in one process. closed: nothing more is shown."""

    def __init__(self, jobs: JobQueries) -> None:
        self.closed = False
        self._jobs = jobs
        self._watched: dict[str, WatchedJob] = {}
        self._watchers = 0
        self._looking: asyncio.Task[None] | None = None

    def check_room(self) -> None:
        """Raise Overloaded where as many watch as may."""
        if self._watchers >= MAX_WATCHERS:
            raise Overloaded("too many watch jobs here; ask for the job instead", retry_after=10)

    @contextmanager
    def watch(self, job: Job) -> Iterator[WatchedJob]:
        """Have a job looked at while the body runs."""
        watched = self._watched.setdefault(job.id, WatchedJob(job))
        watched.show(job)
        watched.watchers += 1
        self._watchers += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield watched
        finally:
            watched.watchers -= 1
            self._watchers -= 1
            if not watched.watchers:
                del self._watched[job.id]

    def close(self) -> None:
        """Tell all who watch that there is nothing more to see here."""
        self.closed = True
        for watched in self._watched.values():
            watched.wake()

    async def _look(self) -> None:
        """Look while there is somebody to show it to."""
        pause = LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self.closed or not self._watched:
                return
            pause = await self._look_once()

    async def _look_once(self) -> float:
        """Show what has changed; returns the seconds until the next look."""
        asked = list(self._watched)
        try:
            seen = {job.id: job for job in await self._jobs.get_many(asked)}
        except DatabaseUnavailable:  # logged where it was raised
            return PAUSE_SECONDS
        except Exception as error:  # noqa: BLE001 - a bug must not leave all who watch in the dark
            logger.opt(exception=error).error("job_feed_failed")
            return PAUSE_SECONDS
        for job_id in asked:
            watched = self._watched.get(job_id)
            if watched is not None:
                watched.show(seen.get(job_id))
        return LOOK_SECONDS
