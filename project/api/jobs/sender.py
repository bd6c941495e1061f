"""Sends jobs from one API process: within bounds, and of each user a few at a time."""

import asyncio
import time

from loguru import logger

from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.records import Job
from project.db.usage import Usage
from project.errors import BrokerUnavailable, DatabaseUnavailable
from project.jobs.queue import JobQueue
from project.jobs.user_jobs import UserJobs
from project.settings import Settings


class JobSender:
    """Sends jobs; what it cannot send now, a sweep of the workers sends later.

    usage: None with AUTH=off. send_seconds: time limit of sending a message. backoff_seconds: pause
    after a send that timed out.
    """

    def __init__(
        self,
        settings: Settings,
        queries: JobQueries,
        transitions: JobTransitions,
        usage: Usage | None,
        queue: JobQueue,
        send_seconds: float,
        backoff_seconds: float,
    ) -> None:
        self._transitions = transitions
        self._queue = queue
        self._send_seconds = send_seconds
        self._backoff_seconds = backoff_seconds
        self._send_after = 0.0  # by the monotonic clock
        self._user_jobs = (
            UserJobs(queries, transitions, usage, settings.user_jobs, self._send) if usage else None
        )

    async def send(self, job: Job) -> None:
        """Send a job to the workers; of a user, the oldest ones for which there is room."""
        try:
            if self._user_jobs is not None and job.user_id is not None:
                await self._user_jobs.send(job.user_id)
            elif await self._send(job):
                await self._transitions.mark_sent(job.id, time.time())
        except DatabaseUnavailable:  # a sweep sends it, maybe again; it still runs once
            logger.bind(job_id=job.id, model=job.model, user_id=job.user_id).warning(
                "job_not_marked_sent"
            )

    async def job_ended(self, job: Job) -> None:
        """Settle a job that ended without a worker, and send what waited for it."""
        if self._user_jobs is not None:
            await self._user_jobs.job_ended(job)

    async def _send(self, job: Job) -> bool:
        """Send a message, and return whether it was sent."""
        log = logger.bind(job_id=job.id, model=job.model, user_id=job.user_id)
        if time.monotonic() < self._send_after:
            log.bind(reason="the broker hung a moment ago").warning("job_not_sent")
            return False
        try:
            async with asyncio.timeout(self._send_seconds):
                await self._queue.send(job)
        except BrokerUnavailable as error:
            log.bind(reason=type(error.__cause__ or error).__name__).warning("job_not_sent")
            return False
        except TimeoutError:
            self._send_after = time.monotonic() + self._backoff_seconds
            log.bind(reason="the broker hangs").warning("job_not_sent")
            return False
        return True
