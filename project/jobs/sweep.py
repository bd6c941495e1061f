"""Finds jobs that were left lying and sends them again; deletes files that were kept long enough.

A job is left lying where its message could not be sent or is lost, or where its worker died. Every
worker sweeps: what two of them send, one of them claims.
"""

import asyncio
import random
import time

from loguru import logger

from project.db.jobs import Jobs
from project.errors import ProjectError
from project.jobs.queue import Queue
from project.jobs.send import Sender
from project.settings import Settings
from project.storage import Storage

MESSAGE_SECONDS = 15.0  # a message that is not in the queue so long after it was sent is lost
MOST_AT_ONCE = 1000


class Sweep:
    """Looks every JOB_SWEEP_SECONDS, more or less, so that workers do not look together."""

    def __init__(
        self, settings: Settings, jobs: Jobs, storage: Storage, sender: Sender, queue: Queue
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._storage = storage
        self._sender = sender
        self._queue = queue

    async def run(self) -> None:
        """Sweep for ever; where the database, the broker or the storage is gone, the next time."""
        while True:
            await asyncio.sleep(self._settings.job_sweep_seconds * random.uniform(0.5, 1.0))  # noqa: S311
            try:
                await self.resend()
                await self.clear()
            except ProjectError as error:
                logger.bind(problem=error.slug).warning("sweep_failed")
            except Exception as error:  # noqa: BLE001 - a bug must not end what recovers jobs
                logger.opt(exception=error).error("sweep_broke")

    async def resend(self) -> int:
        """Send again what was left lying; returns how many jobs."""
        due = await self._jobs.due(time.time(), MESSAGE_SECONDS, MOST_AT_ONCE)
        if not due:
            return 0
        waiting = await asyncio.to_thread(self._queue.waiting_jobs)
        lost = [job for job in due if job.id not in waiting]
        for job in lost:
            await self._sender.send(job)
            await self._jobs.mark_sent(job.id, time.time())
            logger.bind(job_id=job.id, model=job.model, status=job.status).warning("job_sent_again")
        return len(lost)

    async def clear(self) -> int:
        """Delete the files of jobs that ended long enough ago; returns of how many."""
        before = time.time() - self._settings.job_retention_seconds
        ended = await self._jobs.ended_with_files(before, MOST_AT_ONCE)
        for job in ended:
            await self._storage.delete_under(f"jobs/{job.id}")
            await self._jobs.files_deleted(job.id, time.time())
            logger.bind(job_id=job.id, model=job.model).info("job_files_deleted")
        return len(ended)
