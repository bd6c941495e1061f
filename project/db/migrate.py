"""Migrates the database to this release, in one process at a time."""

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
RETRY_SECONDS = 1.0  # between two attempts to reach a database that does not answer
MIGRATION_SECONDS = 3600.0  # time limit of a statement, and of waiting for another migration
# PostgreSQL's advisory locks are numbers that all users of a database share, so this is a hash.
LOCK = int.from_bytes(hashlib.sha256(MIGRATIONS.encode()).digest()[:8], signed=True)


async def upgrade_when_available(settings: Settings) -> None:
    """Upgrade as soon as the database answers.

    Raises DatabaseUnavailable after DATABASE_WAIT_SECONDS, and what else `upgrade` raises.
    """
    timeout = settings.database_wait_seconds
    deadline = time.monotonic() + timeout
    while True:
        try:
            return await upgrade(settings)
        except DatabaseUnavailable as error:
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise DatabaseUnavailable(
                    f"DATABASE_URL: the database did not answer within {timeout:g} s "
                    "(DATABASE_WAIT_SECONDS); set JOBS=off and AUTH=off to run without one"
                ) from error
        await asyncio.sleep(RETRY_SECONDS)


async def upgrade(settings: Settings) -> None:
    """Run the missing migrations in one transaction.

    A database of this release, or of a newer one, stays as it is. Processes that start at the same
    time wait for the first, then find nothing to do. Raises DatabaseUnavailable, and
    ConfigurationError for an invalid DATABASE_URL.
    """
    async with migrating(settings) as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    alembic = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(alembic).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:  # a rollback from a newer release
        logger.bind(revision=current).warning("database_ahead_of_release")
        return
    command.upgrade(alembic, "head")


@asynccontextmanager
async def migrating(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """A transaction that excludes other migrations; it commits when the context closes."""
    with translating():
        opened = open_database(settings, answer_seconds=MIGRATION_SECONDS)
        async with opened as engine, _file_lock(engine.url), engine.begin() as connection:
            if not is_sqlite(engine.url):
                await connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            yield connection


def alembic_config(connection: Connection) -> Config:
    """The configuration of Alembic's commands for a connection, in any working directory."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", MIGRATIONS)
    return config


@asynccontextmanager
async def _file_lock(url: URL) -> AsyncIterator[None]:
    """Hold a lock on a file beside SQLite's, because SQLite polls for its own."""
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
