"""Jobs of users, with AUTH=keys: sends a few of each user at a time, and settles what they cost.

At most USER_JOBS of a user's jobs are in the broker, so that a thousand of one do not delay the
first of another; the rest wait as rows. When a job ends, the oldest one that waits is sent, one of
a batch after all others. What a process leaves undone, because it dies or the broker does not
answer, a sweep does later.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial

from loguru import logger

from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.records import Job
from project.db.usage import Usage
from project.errors import BrokerUnavailable, DatabaseUnavailable
from project.jobs.queue import JobQueue
from project.settings import Settings

MAX_SWEPT = 1000  # users, and jobs, in one sweep


class UserJobs:
    """Sends and settles the jobs of users.

    limit: of one user in the broker at a time. send: sends a job, and returns whether it did.
    """

    def __init__(
        self,
        queries: JobQueries,
        transitions: JobTransitions,
        usage: Usage,
        limit: int,
        send: Callable[[Job], Awaitable[bool]],
    ) -> None:
        self._queries = queries
        self._transitions = transitions
        self._usage = usage
        self._limit = limit
        self._send = send

    @classmethod
    def of(
        cls,
        settings: Settings,
        queries: JobQueries,
        transitions: JobTransitions,
        usage: Usage,
        queue: JobQueue,
    ) -> "UserJobs | None":
        """What the settings name; None with AUTH=off."""
        if settings.auth == "off":
            return None
        return cls(queries, transitions, usage, settings.user_jobs, partial(_send, queue))

    async def send(self, user_id: str) -> int:
        """Send the user's oldest jobs that wait, as many as there is room for; returns how many.

        Raises DatabaseUnavailable.
        """
        sent = 0
        for job in await self._transitions.take_unsent(user_id, time.time(), self._limit):
            if await self._send(job):
                sent += 1
            else:
                await self._transitions.mark_unsent(job.id)
        return sent

    async def job_ended(self, job: Job) -> None:
        """Settle a job that has ended, and send what waited for it.

        While the database does not answer, that is left to a sweep.
        """
        if job.user_id is None:
            return
        try:
            if job.quota_month is not None:
                await self._usage.settle_job(job.id)
            await self.send(job.user_id)
        except DatabaseUnavailable:
            logger.bind(job_id=job.id).warning("job_not_settled")

    async def sweep(self) -> int:
        """Settle and send what was left undone; returns how many jobs were sent.

        Raises DatabaseUnavailable.
        """
        for job_id in await self._usage.unsettled_jobs(MAX_SWEPT):
            await self._usage.settle_job(job_id)
        users = await self._queries.users_with_unsent(time.time(), MAX_SWEPT)
        return sum([await self.send(user_id) for user_id in users])


async def _send(queue: JobQueue, job: Job) -> bool:
    try:
        await queue.send(job)
    except BrokerUnavailable:
        logger.bind(job_id=job.id, model=job.model, user_id=job.user_id).warning("job_not_sent")
        return False
    return True
