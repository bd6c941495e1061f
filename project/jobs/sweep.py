"""Finds jobs that were left lying and sends them again; deletes files that were kept long enough.

A job is left lying where its message could not be sent or is lost, or where its worker died. Every
worker sweeps: what two of them send, one of them claims.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable

from loguru import logger

from project.db.job_transitions import Job, JobTransitions
from project.errors import ProjectError
from project.jobs.queue import Queue
from project.jobs.send import Sender
from project.observability import metrics
from project.settings import Settings
from project.storage import Storage

GRACE_SECONDS = 2.0  # who has kept a job is given so long to send it
MESSAGE_SECONDS = 15.0  # a message that is not in the queue so long after it was sent is lost
MAX_SENT = 1000
MAX_CLEARED = 20  # at a time: each may take a while, and all workers clear


class Sweep:
    """Looks every JOB_SWEEP_SECONDS, more or less, so that workers do not look together."""

    def __init__(
        self,
        settings: Settings,
        jobs: JobTransitions,
        storage: Storage,
        sender: Sender,
        queue: Queue,
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._storage = storage
        self._sender = sender
        self._queue = queue
        self._looked_for_lost = -math.inf  # by the monotonic clock, which may start at 0

    async def keep_sending(self) -> None:
        """Send what was left lying, for ever."""
        await self._keep(self.resend)

    async def keep_clearing(self) -> None:
        """Delete files, for ever; a storage that is slow holds up no job."""
        await self._keep(self.clear)

    async def _keep(self, sweep: Callable[[], Awaitable[int]]) -> None:
        """Sweep again and again; where something it needs is gone, the next time."""
        while True:
            await asyncio.sleep(self._settings.job_sweep_seconds * random.uniform(0.5, 1.0))  # noqa: S311
            try:
                await sweep()
            except ProjectError as error:
                logger.bind(problem=error.slug).warning("sweep_failed")
            except Exception as error:  # noqa: BLE001 - a bug must not end what recovers jobs
                logger.opt(exception=error).error("sweep_broke")

    async def resend(self) -> int:
        """Send again what was left lying; returns how many jobs."""
        now = time.time()
        for model in await self._jobs.cancel_lapsed(now):
            metrics.JOBS.labels(model, "cancelled").inc()
        due = await self._jobs.due(now, MAX_SENT, grace=GRACE_SECONDS, patience=MESSAGE_SECONDS)
        if time.monotonic() - self._looked_for_lost > MESSAGE_SECONDS:
            due += await self._jobs.long_sent(now - MESSAGE_SECONDS, MAX_SENT)
            self._looked_for_lost = time.monotonic()
        if not due:
            return 0
        waiting = await asyncio.to_thread(self._queue.waiting_jobs)
        return sum([await self._send(job, waiting.get(job.id)) for job in due])

    async def _send(self, job: Job, number: str | None) -> bool:
        """Send a job that has no message. number: of the message that it has.

        One whose worker died had its turn, so it comes before all others.
        """
        interrupted = job.status == "running"
        if number is None:
            await self._sender.send(job, first=interrupted)
        elif interrupted:
            await asyncio.to_thread(self._queue.put_first, number)
        else:
            return False
        await self._jobs.mark_sent(job.id, time.time())
        logger.bind(job_id=job.id, model=job.model, status=job.status).warning("job_sent_again")
        return True

    async def clear(self) -> int:
        """Delete the files of jobs that ended long enough ago; returns of how many."""
        before = time.time() - self._settings.job_retention_seconds
        cleared = 0
        for job in await self._jobs.ended_with_files(before, MAX_CLEARED):
            try:
                if not await self._jobs.begin_deleting(job.id, before):
                    continue  # somebody has it run again
                await self._storage.delete_under(f"jobs/{job.id}")
                await self._jobs.files_deleted(job.id, time.time())
            except ProjectError as error:
                log = logger.bind(job_id=job.id, problem=error.slug)
                log.warning("job_files_not_deleted")
                continue
            cleared += 1
            logger.bind(job_id=job.id, model=job.model).info("job_files_deleted")
        return cleared
