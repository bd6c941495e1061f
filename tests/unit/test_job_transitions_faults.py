"""A SQLite that cannot serve: said as DatabaseUnavailable, and over when its cause is gone."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from project.db.engine import open_database, read_url, translating
from project.db.job_transitions import JobTransitions
from project.db.migrate import upgrade
from project.db.tables import JobRow
from project.errors import ConfigurationError, DatabaseUnavailable
from tests.database import added, database_settings, new_job, run_jobs, sqlite_url

Run = Callable[[Callable[[JobTransitions], Awaitable[None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a test on a new database."""
    return partial(run_jobs, database_settings(sqlite_url(tmp_path)))


def test_a_database_without_our_tables_says_what_to_run(tmp_path: Path):
    """As after a first deployment without migrations; nothing needs a restart."""
    settings = database_settings(sqlite_url(tmp_path))

    async def test() -> None:
        async with open_database(settings) as engine:
            jobs = JobTransitions(engine)
            with pytest.raises(DatabaseUnavailable, match="alembic upgrade head"):
                await jobs.check()
            await upgrade(settings)
            await jobs.check()

    asyncio.run(test())


def test_a_file_that_is_no_database(tmp_path: Path):
    """Neither at the first look nor while migrating is it written to."""
    (tmp_path / "jobs.db").write_bytes(b"something else, and more than a page of it" * 200)
    settings = database_settings(sqlite_url(tmp_path))

    async def test() -> None:
        with pytest.raises(DatabaseUnavailable):
            await upgrade(settings)
        async with open_database(settings) as engine:
            with pytest.raises(DatabaseUnavailable):
                await JobTransitions(engine).check()

    asyncio.run(test())
    assert (tmp_path / "jobs.db").read_bytes().startswith(b"something else")


def test_a_database_that_another_program_holds(tmp_path: Path):
    """Who waits longer than answers may take is told so; then it works again."""
    settings = database_settings(sqlite_url(tmp_path))

    async def test() -> None:
        await upgrade(settings)
        async with open_database(settings, answer_seconds=0.1) as engine:
            jobs = JobTransitions(engine)
            job = await added(jobs)
            other = sqlite3.connect(tmp_path / "jobs.db")
            try:
                other.execute("BEGIN EXCLUSIVE")
                with pytest.raises(DatabaseUnavailable, match="try again"):
                    await jobs.add(new_job())
                assert await jobs.page(10) == [job]  # reading does not wait for it
            finally:
                other.close()
            await added(jobs)

    asyncio.run(test())


def test_a_full_disk(run):
    """Nothing is half written, and what is there can be read."""

    async def test(jobs: JobTransitions) -> None:
        job = await added(jobs)
        async with jobs._engine.connect() as connection:  # the one connection of this process
            pages = await connection.scalar(text("PRAGMA page_count"))
            await connection.execute(text(f"PRAGMA max_page_count={pages}"))
        with pytest.raises(DatabaseUnavailable):
            await jobs.add(new_job(params={"prompt": "long " * 10_000}))
        assert await jobs.page(10) == [job]
        async with jobs._engine.connect() as connection:
            await connection.execute(text("PRAGMA max_page_count=1000000"))
        await added(jobs, params={"prompt": "long " * 10_000})

    run(test)


def test_who_stops_waiting_leaves_nothing_behind(run):
    """A cancelled task may have been in the middle of a statement."""

    async def test(jobs: JobTransitions) -> None:
        for turns in range(30):
            task = asyncio.create_task(jobs.add(new_job()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await jobs.check()

    run(test)


def test_a_transaction_that_reads_before_it_writes(tmp_path: Path):
    """Another's write in between must not make it fail, as it does with SQLite's own BEGIN."""
    settings = database_settings(sqlite_url(tmp_path))

    async def count(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            attempts = await connection.scalar(select(JobRow.attempts))
            await connection.execute(update(JobRow).values(attempts=attempts + 1))

    async def test() -> None:
        await upgrade(settings)
        async with open_database(settings) as one, open_database(settings) as two:
            job = await added(JobTransitions(one))
            await asyncio.gather(*(count(engine) for engine in [one, two] * 10))
            counted = await JobTransitions(two).get(job.id)
            assert counted is not None
            assert counted.attempts == 20

    asyncio.run(test())


class DriverError(Exception):
    """What asyncpg raises while it connects, which SQLAlchemy does not wrap."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("a sentence of the server's")
        self.sqlstate = sqlstate


@pytest.mark.parametrize("state", ["08006", "25006", "28P01", "3D000", "53300", "57P03", "58030"])
def test_states_of_a_server_that_may_pass(state):
    """Lost, read-only, login refused, no such database, too many, starting up, disk broken."""
    with pytest.raises(DatabaseUnavailable, match="try again"), translating():
        raise DriverError(state)


@pytest.mark.parametrize("state", ["23505", "22P02", "42601", "XX000", ""])
def test_states_that_are_bugs_of_ours(state):
    """They must not be taken for weather."""
    with pytest.raises(DriverError), translating():
        raise DriverError(state)


@pytest.mark.parametrize("path", ["", "/", "/:memory:", "/file:jobs.db?uri=true"])
def test_a_database_in_memory_is_refused(path):
    """Every connection would have one of its own."""
    with pytest.raises(ConfigurationError, match="name a file"):
        read_url(database_settings(f"sqlite+aiosqlite://{path}"))


def test_a_url_that_is_none_is_refused_without_showing_it():
    """There may be a password in it."""
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as refused:
        read_url(database_settings("postgresql+asyncpg://me:secret@host:port/name"))
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    """At start, and not as a database that does not answer."""
    (tmp_path / "file").write_text("not a folder")
    settings = database_settings(sqlite_url(tmp_path / "file" / "folder"))
    with pytest.raises(ConfigurationError, match="cannot make the folder"):
        asyncio.run(upgrade(settings))
