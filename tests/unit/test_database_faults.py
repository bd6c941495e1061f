"""A database that cannot serve raises DatabaseUnavailable, and works again afterwards."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from project.db.engine import open_database, read_url, translating
from project.db.migrate import upgrade
from project.db.tables import JobRow
from project.errors import ConfigurationError, DatabaseUnavailable
from project.settings import Settings
from tests.database import Jobs, added, create_tables, database_settings, new_job, sqlite_url

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a database that does not exist yet."""
    return database_settings(sqlite_url(tmp_path))


async def test_a_database_without_tables_says_what_to_run(settings):
    """As after a first deployment without migrations; nothing needs a restart."""
    async with open_database(settings) as engine:
        jobs = Jobs.of(engine)
        with pytest.raises(DatabaseUnavailable, match="alembic upgrade head"):
            await jobs.queries.check()
        await upgrade(settings)
        await jobs.queries.check()


async def test_a_file_that_is_no_database_is_not_written_to(settings, tmp_path):
    """Neither by a query nor by a migration."""
    file = tmp_path / "jobs.db"
    content = b"something else, and more than a page of it" * 200
    file.write_bytes(content)
    with pytest.raises(DatabaseUnavailable):
        await upgrade(settings)
    async with open_database(settings) as engine:
        with pytest.raises(DatabaseUnavailable):
            await Jobs.of(engine).queries.check()
    assert file.read_bytes() == content


async def test_a_database_that_another_program_locks(settings, tmp_path):
    """A write that waits longer than the time limit fails; a read does not wait."""
    await create_tables(settings)
    async with open_database(settings, answer_seconds=0.1) as engine:
        jobs = Jobs.of(engine)
        job = await added(jobs)
        other = sqlite3.connect(tmp_path / "jobs.db")
        try:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(DatabaseUnavailable, match="try again"):
                await jobs.transitions.add(new_job())
            assert await jobs.queries.page(10) == [job]
        finally:
            other.close()
        await added(jobs)


async def test_a_full_disk(jobs):
    """No row is half written, and what is stored can be read."""
    job = await added(jobs)
    async with jobs.engine.connect() as connection:  # the only connection of this process
        pages = await connection.scalar(text("PRAGMA page_count"))
        await connection.execute(text(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(DatabaseUnavailable):
        await jobs.transitions.add(new_job(params={"prompt": "long " * 10_000}))
    assert await jobs.queries.page(10) == [job]
    async with jobs.engine.connect() as connection:
        await connection.execute(text("PRAGMA max_page_count=1000000"))
    await added(jobs, params={"prompt": "long " * 10_000})


async def test_a_cancelled_task_leaves_the_connection_usable(jobs):
    """It may have been in the middle of a statement."""
    for turns in range(30):
        task = asyncio.create_task(jobs.transitions.add(new_job()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await jobs.queries.check()


async def test_a_transaction_that_reads_before_it_writes(settings):
    """A write by another in between does not make it fail, as it does with SQLite's own BEGIN."""
    await create_tables(settings)

    async def increment(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            attempts = await connection.scalar(select(JobRow.attempts))
            await connection.execute(update(JobRow).values(attempts=attempts + 1))

    async with open_database(settings) as one, open_database(settings) as two:
        job = await added(Jobs.of(one))
        await asyncio.gather(*(increment(engine) for engine in [one, two] * 10))
        assert (await Jobs.of(two).get(job.id)).attempts == 20


class DriverError(Exception):
    """An error of asyncpg's while it connects, which SQLAlchemy does not wrap."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("a sentence of the server's")
        self.sqlstate = sqlstate


@pytest.mark.parametrize("state", ["08006", "25006", "28P01", "3D000", "53300", "57P03", "58030"])
def test_the_state_of_an_unreachable_server_is_translated(state):
    """Lost, read-only, login refused, no such database, too many, starting up, disk broken."""
    with pytest.raises(DatabaseUnavailable, match="try again"), translating():
        raise DriverError(state)


@pytest.mark.parametrize("state", ["23505", "22P02", "42601", "XX000", ""])
def test_the_state_of_a_wrong_statement_is_not_translated(state):
    """It is a bug, and waiting does not help."""
    with pytest.raises(DriverError), translating():
        raise DriverError(state)


@pytest.mark.parametrize("path", ["", "/", "/:memory:", "/file:jobs.db?uri=true"])
def test_a_database_in_memory_is_refused(path):
    """Every connection would have a database of its own."""
    with pytest.raises(ConfigurationError, match="name a file"):
        read_url(database_settings(f"sqlite+aiosqlite://{path}"))


def test_an_invalid_url_is_refused_without_showing_it():
    """It may contain a password."""
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as refused:
        read_url(database_settings("postgresql+asyncpg://me:secret@host:port/name"))
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
    """At the start, and not as a database that does not answer."""
    (tmp_path / "file").write_text("not a folder")
    settings = database_settings(sqlite_url(tmp_path / "file" / "folder"))
    with pytest.raises(ConfigurationError, match="cannot make the folder"):
        asyncio.run(upgrade(settings))
