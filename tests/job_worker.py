"""A job worker in the test's event loop: a real database and storage, a fake queue."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drills.waiting import pause_after
from project.db.engine import open_database
from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.records import Input, Job, NewJob, new_id
from project.db.usage import month_of
from project.jobs.execution import ExecutionBounds, JobExecutor, ModelHost
from project.jobs.outcomes import OutcomeRecorder
from project.models.base import (
    NO_WEIGHTS,
    AnyModel,
    Field,
    ImageInput,
    Params,
    Picture,
    StepModel,
    Steps,
)
from project.settings import Settings
from project.storage import Storage, make_storage
from tests.conftest import make_settings, picture
from tests.database import create_tables, sqlite_url
from tests.fakes import FakeQueue


class TurnParams(Params):
    """degrees: by which the picture is turned."""

    degrees: int = Field(180, ge=0, le=360, description="By how much.")


class TurnModel(StepModel[ImageInput, Picture, TurnParams]):
    """Turns a picture in `count` steps; a test can hold it between two, or break it."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Turned."

    def __init__(self, name: str = "turn", count: int = 4) -> None:
        super().__init__(name)
        self.count = count
        self.runs = 0
        self.closed = 0
        self.stepped = threading.Event()  # set when a first step is done
        self.resume = threading.Event()  # each step waits for it
        self.resume.set()
        self.error: Exception | None = None
        self.load_error: Exception | None = None

    def load(self) -> None:
        if self.load_error:
            raise self.load_error

    def steps(self, inputs: ImageInput, params: TurnParams) -> Steps[Picture]:
        self.runs += 1
        try:
            for step in range(1, self.count):
                yield step / self.count
                self.stepped.set()
                self.resume.wait()
            if self.error:
                raise self.error
            return inputs.image.rotate(params.degrees)
        finally:
            self.closed += 1


async def first_step(model: TurnModel, running: asyncio.Task[None]) -> None:
    """Wait until a run has done a step; a run that ends before it, on a slow machine, ends this."""
    running.add_done_callback(lambda _: model.stepped.set())
    await asyncio.to_thread(model.stepped.wait)


def ended(job: Job) -> bool:
    """Whether a job has ended."""
    return job.status in {"succeeded", "failed", "cancelled"}


def begun(job: Job) -> bool:
    """Whether a first step of a job is done."""
    return job.progress > 0


@dataclass
class JobStore:
    """Adds jobs without a message, and reads them."""

    settings: Settings
    queries: JobQueries
    transitions: JobTransitions
    storage: Storage

    async def submit(
        self,
        model: str = "turn",
        data: bytes | None = None,
        *,
        ago: float = 0,
        user_id: str | None = None,
        **params: Any,
    ) -> str:
        """Add a job as the API does, but send no message; returns its id. ago: seconds.

        user_id: whose prediction is reserved for it; None with AUTH=off.
        """
        now = time.time() - ago
        job_id = new_id(now)
        data = picture() if data is None else data
        key = f"jobs/{job_id}/inputs/image"
        await self.storage.put(key, data, "image/png")
        image = Input(name="image", key=key, media_type="image/png", size=len(data))
        new = NewJob(job_id, model, "1", params, [image], now, "f" * 64, request_id="request-1")
        if user_id is not None:
            new = replace(new, user_id=user_id, quota_month=month_of(now))
        await self.transitions.add(new)
        return job_id

    async def job(self, job_id: str) -> Job:
        """The row as it is now."""
        job = await self.queries.get(job_id)
        assert job
        return job

    async def wait_for(self, job_id: str, condition: Callable[[Job], bool]) -> Job:
        """The row as soon as it meets the condition."""
        began = time.monotonic()
        while not condition(job := await self.job(job_id)):  # rows send no events
            await asyncio.sleep(pause_after(time.monotonic() - began))
            began = time.monotonic()
        return job


@dataclass
class JobWorker(JobStore):
    """A worker and what it depends on."""

    queue: FakeQueue
    executor: JobExecutor


@asynccontextmanager
async def open_job_store(settings: Settings) -> AsyncIterator[JobStore]:
    """A store for workers that are processes of their own."""
    await create_tables(settings)
    async with open_database(settings) as engine:
        storage = make_storage(settings)
        yield JobStore(settings, JobQueries(engine), JobTransitions(engine), storage)


@asynccontextmanager
async def job_worker(
    folder: Path, *models: AnyModel, bounds: ExecutionBounds | None = None, **changes: object
) -> AsyncIterator[JobWorker]:
    """A worker of these models. changes: of the settings."""
    settings = make_settings(
        jobs=True,
        database_url=sqlite_url(folder),
        storage_url=f"file:{folder}/storage",
        **{"job_retry_seconds": 0.01, "job_lease_seconds": 5.0} | changes,
    )
    async with open_job_store(settings) as store, ModelHost(models, settings) as loaded:
        queries, transitions, queue = store.queries, store.transitions, FakeQueue()
        outcomes = OutcomeRecorder(settings, queries, transitions, queue)
        executor = JobExecutor(
            settings, transitions, store.storage, loaded, outcomes, bounds=bounds
        )
        yield JobWorker(settings, queries, transitions, store.storage, queue, executor)
