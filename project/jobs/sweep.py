"""Sends jobs again that have no message or no living worker, and deletes the files of old jobs.

A job has no message if the broker did not answer or lost it. Every worker sweeps: if two of them
send a job, one of them claims it.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable

from loguru import logger

from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.records import Job
from project.errors import ProjectError
from project.jobs.queue import JobQueue
from project.jobs.user_jobs import UserJobs
from project.observability import metrics
from project.settings import Settings
from project.storage import Storage

GRACE_SECONDS = 2.0  # from a job's creation to its message
MESSAGE_SECONDS = 15.0  # since it was sent: a message that is not in the queue then is lost
MAX_SENT = 1000  # jobs in one sweep
MAX_CLEARED = 20  # jobs in one sweep: deleting files may be slow, and every worker sweeps


class Sweep:
    """Sweeps about every JOB_SWEEP_SECONDS, with jitter, so that workers do not coincide.

    user_jobs: None with AUTH=off.
    """

    def __init__(
        self,
        settings: Settings,
        queries: JobQueries,
        transitions: JobTransitions,
        storage: Storage,
        queue: JobQueue,
        user_jobs: UserJobs | None = None,
    ) -> None:
        self._settings = settings
        self._queries = queries
        self._transitions = transitions
        self._storage = storage
        self._queue = queue
        self._user_jobs = user_jobs
        self._checked_lost_at = -math.inf  # by the monotonic clock, which may start at 0

    async def resend_forever(self) -> None:
        """Call `resend` in a loop."""
        await self._forever(self.resend)

    async def delete_files_forever(self) -> None:
        """Call `delete_files` in a loop of its own, so that a slow storage delays no job."""
        await self._forever(self.delete_files)

    async def _forever(self, sweep: Callable[[], Awaitable[int]]) -> None:
        while True:
            await asyncio.sleep(self._settings.job_sweep_seconds * random.uniform(0.5, 1.0))  # noqa: S311
            try:
                await sweep()
            except ProjectError as error:
                logger.bind(problem=error.slug).warning("sweep_failed")
            except Exception as error:  # noqa: BLE001 - a bug must not end what recovers jobs
                logger.opt(exception=error).error("sweep_broke")

    async def resend(self) -> int:
        """Send jobs without a message or a living worker; returns the number of jobs.

        Raises DatabaseUnavailable and BrokerUnavailable.
        """
        now = time.time()
        for model in await self._transitions.cancel_lapsed(now):
            metrics.JOBS.labels(model, "cancelled").inc()
        due = await self._queries.due(
            now,
            MAX_SENT,
            grace=GRACE_SECONDS,
            resend_after=MESSAGE_SECONDS,
            users_wait=self._user_jobs is not None,
        )
        if time.monotonic() - self._checked_lost_at > MESSAGE_SECONDS:
            due += await self._queries.waiting_since(now - MESSAGE_SECONDS, MAX_SENT)
            self._checked_lost_at = time.monotonic()
        sent = await self._user_jobs.sweep() if self._user_jobs else 0
        if not due:
            return sent
        waiting = await self._queue.waiting_jobs({job.model for job in due})
        return sent + sum([await self._send(job, waiting.get(job.id)) for job in due])

    async def _send(self, job: Job, message_id: str | None) -> bool:
        """Send a job, unless its message waits; an interrupted one to the front of its queue."""
        interrupted = job.status == "running"
        if message_id is None and interrupted:
            await self._queue.send_first(job)
        elif message_id is None:
            await self._queue.send(job)
        elif interrupted:
            await self._queue.move_first(job, message_id)
        else:
            return False
        await self._transitions.mark_sent(job.id, time.time())
        log = logger.bind(job_id=job.id, model=job.model, user_id=job.user_id)
        log.bind(status=job.status).warning("job_sent_again")
        return True

    async def delete_files(self) -> int:
        """Delete the files of jobs that ended JOB_RETENTION_SECONDS ago; returns how many jobs.

        Raises DatabaseUnavailable. A job whose files cannot be deleted is left to the next sweep.
        """
        before = time.time() - self._settings.job_retention_seconds
        deleted = 0
        for job in await self._queries.ended_with_files(before, MAX_CLEARED):
            try:
                if not await self._transitions.begin_file_deletion(job.id, before):
                    continue  # it was retried meanwhile
                await self._storage.delete_under(f"jobs/{job.id}")
                await self._transitions.mark_files_deleted(job.id, time.time())
            except ProjectError as error:
                log = logger.bind(job_id=job.id, user_id=job.user_id, problem=error.slug)
                log.warning("job_files_not_deleted")
                continue
            deleted += 1
            log = logger.bind(job_id=job.id, model=job.model, user_id=job.user_id)
            log.info("job_files_deleted")
        return deleted
