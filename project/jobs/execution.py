"""Makes one attempt at a job: claims it, runs its model, stores the result, records the outcome.

The database decides which worker runs a job: its message may come twice, late or not at all. The
result is stored before the row names it, under a key of this attempt, so an attempt
that has lost its lease cannot overwrite the result of another.
"""

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from loguru import logger
from opentelemetry.sdk.trace import TracerProvider
from pydantic import ValidationError

from project.db.job_transitions import JobTransitions
from project.db.records import Claim, Job, StoredFile
from project.errors import DatabaseUnavailable, InvalidInput, ModelUnavailable, ProjectError
from project.inference.drift.monitor import DriftMonitor
from project.inference.pipeline import Raw
from project.inference.runner import Runner, RunnerOptions
from project.jobs.lease import Lease, Stop, TimeLimitExceeded
from project.jobs.outcomes import AttemptFailed, Outcome, OutcomeRecorder, Stopped, Succeeded
from project.models.base import AnyModel, BatchModel, Params
from project.models.base.inputs import texts_of
from project.observability import metrics
from project.observability.job_scope import job_scope
from project.settings import Settings
from project.storage import Storage
from project.storage.names import download_name

Report = Callable[[float], None]


@dataclass(frozen=True)
class EncodedResult:
    """What is stored. seconds: stage → seconds."""

    data: bytes
    media_type: str
    seconds: dict[str, float] = field(default_factory=dict)


class ModelHost:
    """Loads the models as an async context manager; a failed load is retried in the background."""

    def __init__(self, models: Sequence[AnyModel], settings: Settings) -> None:
        self._models = {model.name: model for model in models}
        options = replace(
            RunnerOptions.of(settings),
            streams=1,
            guaranteed_streams=1,
            batch=1,
            deadline_seconds=None,  # the time limit of a job holds
            warm_up_steps=False,
        )
        self._runner = Runner(models, options, drift=DriftMonitor.of(settings))

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop."""
        metrics.declare(jobs=self._models, attempts=self._models)
        await self._runner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel the retries and stop the runner."""
        await self._runner.__aexit__(kind, error, trace)

    async def work(
        self, name: str, inputs: Mapping[str, bytes], params: dict[str, Any], report: Report
    ) -> EncodedResult:
        """Do a job's work. inputs: name → the bytes of a file.

        report: called between two steps, in their thread, with the fraction done (0 to 1); an
        exception of it ends the attempt.
        Raises the model's InvalidInput or ModelFailed, ModelUnavailable where this worker does not
        have the model or has not loaded it, and whatever `report` raises.
        """
        model = self._models.get(name)
        if model is None:
            raise ModelUnavailable(
                f"model {name} is not loaded on this worker; the job is tried again"
            )
        values, raw = _validated(model, params), _raw(model, inputs)
        in_batches = isinstance(model, BatchModel)
        with self._runner.admit(name) as slot:
            if in_batches:
                report(0.0)
            prediction = await slot.predict(raw, values, report=report)
            if in_batches:
                report(1.0)
        return EncodedResult(prediction.body, prediction.media_type, prediction.seconds)


def _raw(model: AnyModel, inputs: Mapping[str, bytes]) -> Raw:
    """The pictures as they are, the texts decoded."""
    texts = texts_of(model.inputs)
    return {name: data.decode() if name in texts else data for name, data in inputs.items()}


def _validated(model: AnyModel, params: dict[str, Any]) -> Params:
    """Validate the parameters, which another release may have accepted. Raises InvalidInput."""
    try:
        return model.params.model_validate(params)
    except ValidationError as error:
        raise InvalidInput(
            f"this release of {model.name} takes other parameters than the job was sent with: "
            "send it again"
        ) from error


T = TypeVar("T")


@dataclass(frozen=True)
class ExecutionBounds:
    """hang_seconds: after the time limit, until a step counts as hung."""

    hang_seconds: float = 30.0
    database_retry_seconds: float = 1.0


class WorkersDied(ProjectError):
    """Every attempt of a job ended with the death of its worker."""

    title = "Workers died"


class JobExecutor:
    """Executes jobs in one worker process."""

    def __init__(
        self,
        settings: Settings,
        transitions: JobTransitions,
        storage: Storage,
        models: ModelHost,
        outcomes: OutcomeRecorder,
        provider: TracerProvider | None = None,
        bounds: ExecutionBounds | None = None,
    ) -> None:
        self._settings = settings
        self._transitions = transitions
        self._storage = storage
        self._models = models
        self._provider = provider
        self._outcomes = outcomes
        self._bounds = bounds or ExecutionBounds()
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Release the current job at its next step, and claim no other."""
        self._draining.set()

    async def run(self, job_id: str) -> None:
        """Run a job, unless another worker runs it or it has ended.

        Raises DatabaseUnavailable if the database does not answer while the worker drains.
        """
        if self._draining.is_set():
            return  # a sweep of another worker finds it
        owner = uuid.uuid4().hex
        claim = await self._retry_until_available(partial(self._claim, job_id, owner))
        if claim is None:
            logger.bind(job_id=job_id).info("job_not_claimed")
            return
        job = claim.job
        with job_scope(
            self._provider,
            job_id=job.id,
            model=job.model,
            attempt=job.attempts,
            request_id=job.request_id,
            traceparent=job.traceparent,
            user_id=job.user_id,
        ):
            await self._run(job, owner)

    async def _claim(self, job_id: str, owner: str) -> Claim | None:
        now = time.time()
        claim = await self._transitions.claim(job_id, owner, now, self._settings.job_lease_seconds)
        if claim and claim.is_first:
            wait = max(0.0, now - claim.job.created_at)
            metrics.JOBS_WAIT.labels(claim.job.model).observe(wait)
        elif claim:
            metrics.JOBS_RETRIES.labels(claim.job.model).inc()
        return claim

    async def _run(self, job: Job, owner: str) -> None:
        logger.bind(worker=self._settings.worker_slot, pid=os.getpid()).info("job_started")
        lease = Lease(
            self._transitions,
            job,
            owner,
            lease_seconds=self._settings.job_lease_seconds,
            time_limit=self._settings.job_seconds,
            draining=self._draining,
        )
        started = time.perf_counter()
        async with lease.renewing():
            outcome = await self._attempt(job, owner, lease)
            record = partial(self._outcomes.record, job, owner, outcome)
            await self._retry_until_available(record)
        metrics.JOBS_DURATION.labels(job.model).observe(time.perf_counter() - started)

    async def _attempt(self, job: Job, owner: str, lease: Lease) -> Outcome:
        try:
            self._check_attempts(job)
            output = await self._run_model_or_terminate(job, lease)
            result = await self._store(job, owner, output)
        except Stop as reason:
            return Stopped(reason)
        except ProjectError as error:
            return AttemptFailed(error)
        except Exception as error:  # noqa: BLE001 - a bug must not lose the job
            logger.opt(exception=error).error("job_run_broke")
            return AttemptFailed(
                ProjectError("internal error; the operators find the cause in the log")
            )
        return Succeeded(result, output.seconds)

    def _check_attempts(self, job: Job) -> None:
        """Raise WorkersDied if no worker lived to record the last attempt."""
        if job.attempts > self._settings.job_attempts:
            raise WorkersDied(
                "its workers died while they ran it, or lost the database; "
                "if they died, their memory may not suffice"
            )

    async def _run_model_or_terminate(self, job: Job, lease: Lease) -> EncodedResult:
        """Run the model. If a step hangs, terminate the process: nothing can end the thread."""
        timeout = asyncio.timeout(self._settings.job_seconds + self._bounds.hang_seconds)
        try:
            async with timeout:
                return await self._run_model(job, lease)
        except TimeoutError:
            if not timeout.expired():
                raise
            logger.error("job_step_hangs")
            os.kill(os.getpid(), signal.SIGTERM)
            raise TimeLimitExceeded from None

    async def _run_model(self, job: Job, lease: Lease) -> EncodedResult:
        inputs = {item["name"]: await self._storage.get(item["key"]) for item in job.inputs}
        return await self._models.work(job.model, inputs, job.params, lease.report_progress)

    async def _store(self, job: Job, owner: str, output: EncodedResult) -> StoredFile:
        key = f"jobs/{job.id}/results/{owner}"
        filename = download_name(job.model, job.id, media_type=output.media_type)
        await self._storage.put(key, output.data, output.media_type, filename)
        return StoredFile(key=key, media_type=output.media_type, size=len(output.data))

    async def _retry_until_available(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await `call` again and again until the database answers.

        Raises DatabaseUnavailable once the worker drains.
        """
        while True:
            try:
                return await call()
            except DatabaseUnavailable:
                if self._draining.is_set():
                    raise
                logger.warning("job_waits_for_database")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), self._bounds.database_retry_seconds)
