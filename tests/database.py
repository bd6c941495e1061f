"""Databases and jobs for tests: nothing of what pytest needs, as other processes import it too."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from project.db.engine import open_database
from project.db.job_transitions import Input, Job, JobTransitions, NewJob, StoredFile, new_id
from project.db.migrate import upgrade
from project.settings import Settings

IMAGE = Input(name="image", key="inputs/1/image", media_type="image/png", size=3)
RESULT = StoredFile(key="results/1", media_type="application/json", size=7)
PROBLEM = {"status": 500, "title": "Model failed", "detail": "it broke"}

HOSTILE: dict[str, Any] = {  # what no column may trip over
    "params": {"prompt": "\0 \ud800 '; DROP TABLE jobs; -- 🐘", "none": None, "list": []},
    "inputs": [],
    "idempotency_key": "",
    "request_id": "%s {} :name",
    "traceparent": "🐘" * 1000,
}
LEASE = 20.0
NOW = 1_800_000_000.0


def database_settings(url: str) -> Settings:
    """Settings of which only the database matters."""
    return Settings(_env_file=None, database_url=url)  # type: ignore[call-arg]


def sqlite_url(folder: Path) -> str:
    """A file that is not there yet."""
    return f"sqlite+aiosqlite:///{folder}/jobs.db"


def run_jobs(settings: Settings, test: Callable[[JobTransitions], Awaitable[None]]) -> None:
    """Run a test on a database, whose tables are made if need be."""

    async def go() -> None:
        await upgrade(settings)
        async with open_database(settings) as engine:
            await test(JobTransitions(engine))

    asyncio.run(go())


def new_job(now: float | None = None, **changes: Any) -> NewJob:
    """A job like any other, but for these changes."""
    created_at = time.time() if now is None else now
    values: dict[str, Any] = {
        "id": new_id(created_at),
        "model": "shade",
        "model_version": "1",
        "params": {"threshold": 127.5},
        "inputs": [IMAGE],
        "created_at": created_at,
        "fingerprint": "f" * 64,
    }
    return NewJob(**values | changes)


async def added(jobs: JobTransitions, now: float = NOW, **changes: Any) -> Job:
    """A job that waits."""
    job, created = await jobs.add(new_job(now, **changes))
    assert created
    return job


async def claimed(jobs: JobTransitions, owner: str = "one", now: float = NOW) -> Job:
    """A job that runs."""
    job = await jobs.claim((await added(jobs, now)).id, owner, now, LEASE)
    assert job is not None
    return job
