"""A job worker without its broker: a real database and storage, a long model with hooks."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from pydantic import Field

from project.db.engine import open_database
from project.db.job_transitions import Input, Job, JobTransitions, NewJob, new_id
from project.db.migrate import upgrade
from project.errors import BrokerUnavailable, ProjectError
from project.jobs.execution import JobExecutor
from project.jobs.job_models import JobModels
from project.models.base import AnyModel, LongModel, Params
from project.settings import Settings
from project.storage import Storage, make_storage
from tests.conftest import make_settings, picture
from tests.database import sqlite_url


class TurnParams(Params):
    """degrees: by which the picture is turned."""

    degrees: int = Field(180, ge=0, le=360, description="By how much.")


class TurnModel(LongModel[TurnParams, Image.Image]):
    """Turns a picture in `count` steps; hooks let tests hold it between two, or break it."""

    version = "1"
    licence = "MIT"
    weights = "none"
    summary = "Turned."
    params: ClassVar[type[Params]] = TurnParams
    result: ClassVar[type[Image.Image]] = Image.Image

    def __init__(self, name: str = "turn", count: int = 4) -> None:
        super().__init__(name)
        self.count = count
        self.runs = 0
        self.closed = 0
        self.stepped = threading.Event()  # set when a first step is done
        self.go_on = threading.Event()  # each step waits for it
        self.go_on.set()
        self.error: Exception | None = None
        self.load_error: Exception | None = None

    def load(self) -> None:
        if self.load_error:
            raise self.load_error

    def steps(
        self, images: Mapping[str, Image.Image], params: TurnParams
    ) -> Generator[float, None, Image.Image]:
        self.runs += 1
        try:
            for step in range(1, self.count):
                yield step / self.count
                self.stepped.set()
                self.go_on.wait()
            if self.error:
                raise self.error
            return images["image"].rotate(params.degrees)
        finally:
            self.closed += 1


@dataclass
class Letters:
    """A sender that keeps what it was to send; broken: until when it cannot."""

    sent: list[tuple[str, float]] = field(default_factory=list)
    broken: bool = False
    first: list[str] = field(default_factory=list)  # sent before all others

    async def send(self, job: Job, delay_seconds: float = 0, *, first: bool = False) -> None:
        if self.broken:
            raise BrokerUnavailable("the queue does not answer")
        self.sent.append((job.id, delay_seconds))
        self.first += [job.id] * first


def ended(job: Job) -> bool:
    """Whether a job has, one way or another."""
    return job.status in {"succeeded", "failed", "cancelled"}


def begun(job: Job) -> bool:
    """Whether a first step of it is done."""
    return job.progress > 0


@dataclass
class JobServices:
    """Where jobs are accepted, and looked at."""

    settings: Settings
    jobs: JobTransitions
    storage: Storage

    async def submit(
        self, model: str = "turn", data: bytes | None = None, *, ago: float = 0, **params: Any
    ) -> str:
        """Accept a job as the API does, but send it nowhere; returns its id. ago: seconds."""
        now = time.time() - ago
        job_id = new_id(now)
        data = picture() if data is None else data
        key = f"jobs/{job_id}/inputs/image"
        await self.storage.put(key, data, "image/png")
        taken = Input(name="image", key=key, media_type="image/png", size=len(data))
        new = NewJob(job_id, model, "1", params, [taken], now, "f" * 64, request_id="request-1")
        await self.jobs.add(new)
        return job_id

    async def job(self, job_id: str) -> Job:
        """The row as it is now."""
        job = await self.jobs.get(job_id)
        assert job
        return job

    async def until(self, job_id: str, holds: Callable[[Job], bool]) -> Job:
        """The row as soon as this holds of it."""
        while not holds(job := await self.job(job_id)):  # noqa: ASYNC110 - a row tells nobody
            await asyncio.sleep(0.01)
        return job


@dataclass
class Workshop(JobServices):
    """All that a worker has; tests reach into it."""

    sender: Letters
    runs: JobExecutor


@asynccontextmanager
async def open_job_services(settings: Settings) -> AsyncIterator[JobServices]:
    """A desk for workers that are processes of their own."""
    await upgrade(settings)
    async with open_database(settings) as engine:
        yield JobServices(settings, JobTransitions(engine), make_storage(settings))


@asynccontextmanager
async def workshop(folder: Path, *models: AnyModel, **changes: object) -> AsyncIterator[Workshop]:
    """A worker for these models."""
    settings = make_settings(
        jobs=True,
        database_url=sqlite_url(folder),
        storage_url=f"file:{folder}/storage",
        **{"job_retry_seconds": 0.01, "job_lease_seconds": 5.0} | changes,
    )
    await upgrade(settings)
    async with open_database(settings) as engine, JobModels(models, settings) as served:
        jobs, storage, sender = JobTransitions(engine), make_storage(settings), Letters()
        runs = JobExecutor(settings, jobs, storage, served, sender)
        yield Workshop(settings, jobs, storage, sender, runs)


def fault(status: int) -> ProjectError:
    """An error with a status."""
    kind = type("Fault", (ProjectError,), {"status": status, "slug": "fault", "title": "Fault"})
    return kind("it broke")
