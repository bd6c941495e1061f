"""Brings the database's tables to this release, in one process at a time."""

import asyncio
import fcntl
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from loguru import logger
from sqlalchemy import URL, Connection, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from project.db.engine import is_sqlite, open_database, translating
from project.errors import DatabaseUnavailable
from project.settings import Settings

MIGRATIONS = "project.db:migrations"
RETRY_SECONDS = 1.0  # between two tries to reach a database that does not answer
MIGRATION_SECONDS = 3600.0  # for a statement, or for others to be done
# PostgreSQL's advisory locks are numbers that all who use a database share, so ours is a rare one.
LOCK = int.from_bytes(hashlib.sha256(MIGRATIONS.encode()).digest()[:8], signed=True)


async def upgrade_when_there(settings: Settings) -> None:
    """Upgrade as soon as the database answers.

    Raises DatabaseUnavailable after DATABASE_WAIT_SECONDS, and what else `upgrade` does.
    """
    patience = settings.database_wait_seconds
    deadline = time.monotonic() + patience
    while True:
        try:
            return await upgrade(settings)
        except DatabaseUnavailable as error:
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise DatabaseUnavailable(
                    f"DATABASE_URL: no database was to be had for {patience:g} s "
                    "(DATABASE_WAIT_SECONDS); JOBS=off does without"
                ) from error
        await asyncio.sleep(RETRY_SECONDS)


async def upgrade(settings: Settings) -> None:
    """Make the tables, or change them, all or nothing.

    Nothing is done where they are as they should be, or of a newer release than this. Who starts
    at the same time waits, and then finds it done. Raises DatabaseUnavailable, and
    ConfigurationError where DATABASE_URL is of no use.
    """
    async with migrating(settings) as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    given = config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(given).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:  # back from a newer release: let it start
        logger.bind(revision=current).warning("database_ahead_of_release")
        return
    command.upgrade(given, "head")


@asynccontextmanager
async def migrating(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """A transaction in which nobody else migrates; committed at the end of the body."""
    with translating():
        opened = open_database(settings, answer_seconds=MIGRATION_SECONDS)
        async with opened as engine, _alone(engine.url), engine.begin() as connection:
            if not is_sqlite(engine.url):
                await connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            yield connection


def config(connection: Connection) -> Config:
    """What Alembic's commands need to work on a connection, wherever the process was started."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", MIGRATIONS)
    return made


@asynccontextmanager
async def _alone(url: URL) -> AsyncIterator[None]:
    """Hold a lock beside SQLite's file: who waits for it sleeps, while SQLite's own is polled."""
    if not is_sqlite(url):
        yield
        return
    held = await asyncio.to_thread(_lock, Path(f"{url.database}.lock"))
    try:
        yield
    finally:
        held.close()


def _lock(path: Path) -> IO[bytes]:
    file = path.open("ab")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
