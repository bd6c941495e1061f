"""Databases and jobs for tests; it imports nothing of pytest, because other processes import it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from project.db.engine import is_sqlite, open_database, read_url
from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.migrate import upgrade
from project.db.records import Input, Job, NewJob, Status, StoredFile, new_id
from project.settings import Settings

IMAGE = Input(name="image", key="inputs/1/image", media_type="image/png", size=3)
RESULT = StoredFile(key="results/1", media_type="application/json", size=7)
PROBLEM = {"status": 500, "title": "Model failed", "detail": "it broke"}

HOSTILE: dict[str, Any] = {  # values that no column may change
    "params": {"prompt": "\0 \ud800 '; DROP TABLE jobs; -- 🐘", "none": None, "list": []},
    "inputs": [],
    "idempotency_key": "",
    "request_id": "%s {} :name",
    "traceparent": "🐘" * 1000,
}
LEASE = 20.0
NOW = 1_800_000_000.0

_migrated: list[bytes] = []  # a SQLite file with the tables of this release, once it is made


@dataclass(frozen=True)
class Jobs:
    """The jobs of one database."""

    engine: AsyncEngine
    queries: JobQueries
    transitions: JobTransitions

    @classmethod
    def of(cls, engine: AsyncEngine) -> "Jobs":
        return cls(engine, JobQueries(engine), JobTransitions(engine))

    async def get(self, job_id: str) -> Job:
        """The job of this id, which exists."""
        job = await self.queries.get(job_id)
        assert job is not None
        return job

    async def count(self, status: Status | None = None) -> int:
        """The number of jobs, at most a million."""
        return len(await self.queries.page(1_000_000, status=status))


def database_settings(url: str) -> Settings:
    """Settings of a database alone."""
    return Settings(_env_file=None, database_url=url)  # type: ignore[call-arg]


def sqlite_url(folder: Path) -> str:
    """The URL of a file that does not exist yet."""
    return f"sqlite+aiosqlite:///{folder}/jobs.db"


async def create_tables(settings: Settings) -> None:
    """Upgrade a database; a new SQLite file is a copy of one that was upgraded before."""
    url = read_url(settings)
    if not is_sqlite(url) or _exists(url):
        await upgrade(settings)
        return
    if not _migrated:
        with TemporaryDirectory() as folder:
            await upgrade(database_settings(sqlite_url(Path(folder))))
            _save_migrated(Path(folder, "jobs.db"))
    _copy_migrated(Path(str(url.database)))


def _exists(url: URL) -> bool:
    return Path(str(url.database)).exists()


def _save_migrated(path: Path) -> None:
    _migrated.append(path.read_bytes())


def _copy_migrated(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_migrated[0])


def run_jobs(settings: Settings, test: Callable[[Jobs], Awaitable[None]]) -> None:
    """Run a test on a database with tables."""

    async def run() -> None:
        await create_tables(settings)
        async with open_database(settings) as engine:
            await test(Jobs.of(engine))

    asyncio.run(run())


def new_job(now: float | None = None, **changes: Any) -> NewJob:
    """A job with defaults, except for these changes."""
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


async def added(jobs: Jobs, now: float = NOW, **changes: Any) -> Job:
    """A job that waits."""
    job, is_new = await jobs.transitions.add(new_job(now, **changes))
    assert is_new
    return job


async def claimed(jobs: Jobs, owner: str = "one", now: float = NOW) -> Job:
    """A job that runs."""
    claim = await jobs.transitions.claim((await added(jobs, now)).id, owner, now, LEASE)
    assert claim is not None
    return claim.job
