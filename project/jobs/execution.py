"""One run of one job: claim it, do its work, put the result away, then say that it succeeded.

The database decides who runs a job: its message may come twice, late or not at all. A result is
stored before the row says that it is there, under a name of this run's own, so that a run that has
lost its lease can neither overwrite another's result nor be taken for it.
"""

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from loguru import logger
from opentelemetry.sdk.trace import TracerProvider

from project.db.job_transitions import Job, JobTransitions, StoredFile
from project.errors import ProjectError
from project.jobs.job_models import JobModels
from project.jobs.lease import Lease, Stop, TimeUp
from project.jobs.outage import retry_until_available
from project.jobs.outcomes import Outcomes
from project.jobs.send import Sender
from project.jobs.steps import Output
from project.observability import metrics
from project.observability.jobs import job_scope
from project.settings import Settings
from project.storage import Storage

HANGING_SECONDS = 30.0  # a step that goes on for so long after the time limit will hardly end


End = Callable[[], Awaitable[None]]


class JobExecutor:
    """Runs jobs in one worker process."""

    def __init__(
        self,
        settings: Settings,
        jobs: JobTransitions,
        storage: Storage,
        models: JobModels,
        sender: Sender,
        provider: TracerProvider | None = None,
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._storage = storage
        self._models = models
        self._provider = provider
        self._ends = Outcomes(settings, jobs, sender)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Have the job in hand given back at its next step, and claim no other."""
        self._leaving.set()

    async def run(self, job_id: str) -> None:
        """Run a job, unless another worker does or it has ended. Raises DatabaseUnavailable."""
        if self._leaving.is_set():
            return  # the sweep of another worker finds it
        owner = uuid.uuid4().hex
        job = await retry_until_available(partial(self._claim, job_id, owner), self._leaving)
        if job is None:
            logger.bind(job_id=job_id).info("job_not_claimed")
            return
        with job_scope(
            self._provider,
            job_id=job.id,
            model=job.model,
            attempt=job.attempts,
            request_id=job.request_id,
            traceparent=job.traceparent,
        ):
            await self._run(job, owner)

    async def _claim(self, job_id: str, owner: str) -> Job | None:
        now = time.time()
        job = await self._jobs.claim(job_id, owner, now, self._settings.job_lease_seconds)
        if job and job.started_at == now:
            metrics.JOBS_WAIT.labels(job.model).observe(max(0.0, now - job.created_at))
        elif job:
            metrics.JOBS_RETRIES.labels(job.model).inc()
        return job

    async def _run(self, job: Job, owner: str) -> None:
        logger.bind(worker=self._settings.worker_slot, pid=os.getpid()).info("job_started")
        settings = self._settings
        watch = Lease(
            self._jobs,
            job,
            owner,
            lease=settings.job_lease_seconds,
            limit=settings.job_seconds,
            leaving=self._leaving,
        )
        began = time.perf_counter()
        async with watch.held():
            end = await self._attempt(job, owner, watch)
            await retry_until_available(end, self._leaving)
        metrics.JOBS_DURATION.labels(job.model).observe(time.perf_counter() - began)

    async def _attempt(self, job: Job, owner: str, watch: Lease) -> End:
        """One attempt; returns what writes down how it ended."""
        ends = self._ends
        try:
            ends.check_attempts(job)
            output = await self._bounded(job, watch)
            stored = await self._stored(job, owner, output)
        except Stop as stop:
            return partial(ends.stopped, job, owner, stop)
        except ProjectError as error:
            return partial(ends.failed, job, owner, error)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not lose the job
            logger.opt(exception=error).error("job_run_broke")
            fault = ProjectError("this is our fault, not yours; its operators find why in the log")
            return partial(ends.failed, job, owner, fault)
        return partial(ends.succeeded, job, owner, stored, output.seconds)

    async def _bounded(self, job: Job, watch: Lease) -> Output:
        """The work, unless a step of it hangs: then this process has to go, as nothing ends it."""
        bound = asyncio.timeout(self._settings.job_seconds + HANGING_SECONDS)
        try:
            async with bound:
                return await self._work(job, watch)
        except TimeoutError:
            if not bound.expired():
                raise
            logger.error("job_step_hangs")
            os.kill(os.getpid(), signal.SIGTERM)
            raise TimeUp from None

    async def _work(self, job: Job, watch: Lease) -> Output:
        images = {item["name"]: await self._storage.get(item["key"]) for item in job.inputs}
        return await self._models.work(job.model, images, job.params, watch.check)

    async def _stored(self, job: Job, owner: str, output: Output) -> StoredFile:
        key = f"jobs/{job.id}/results/{owner}"
        await self._storage.put(key, output.data, output.media_type)
        return StoredFile(key=key, media_type=output.media_type, size=len(output.data))
