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
from sqlalchemy import URL, Connection, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from project.db.engine import is_sqlite, open_database, translating
from project.db.tables import Base
from project.errors import DatabaseUnavailable
from project.settings import Settings

MIGRATIONS = "project.db:migrations"
RETRY_SECONDS = 1.0  # between two attempts to reach a database that does not answer
MIGRATION_SECONDS = 3600.0  # time limit of a statement, and of waiting for another migration
# PostgreSQL's advisory locks are numbers that all users of a database share, so this is a hash.
LOCK_POLL_SECONDS = 0.5
LOCK_TIMEOUT = "2s"  # for a table that is in use; its statements wait behind the migration's
LOCK = int.from_bytes(hashlib.sha256(MIGRATIONS.encode()).digest()[:8], signed=True)
# Held over the migrations' transaction and what follows it; LOCK excludes former releases.
START_LOCK = LOCK ^ 1
_INDEXES = text(
    "SELECT class.relname, pg_index.indisvalid FROM pg_index"
    " JOIN pg_class AS class ON class.oid = pg_index.indexrelid"
    " WHERE pg_index.indrelid = to_regclass(:table)"
)


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
    """Run the missing migrations in one transaction, then build what indexes are missing.

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
    """A transaction that excludes other migrations; it commits when the context closes.

    Raises DatabaseUnavailable where a table is in use for too long.
    """
    with translating():
        opened = open_database(settings, answer_seconds=MIGRATION_SECONDS)
        async with opened as engine, _file_lock(engine.url), _start_lock(engine):
            async with engine.begin() as connection:
                if not is_sqlite(engine.url):
                    await connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
                    await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
                yield connection
            if not is_sqlite(engine.url):
                await _build_indexes(engine)


@asynccontextmanager
async def _start_lock(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold an advisory lock of PostgreSQL in a transaction of its own, as poolers have no sessions.

    An index that is built concurrently waits for every snapshot. So the lock is polled, as a
    statement that waits has one, and each poll is followed by a statement that has none: until then
    the poll's portal keeps its snapshot.
    """
    if is_sqlite(engine.url):
        yield
        return
    poll = select(func.pg_try_advisory_xact_lock(START_LOCK))
    without_snapshot = text("SET LOCAL idle_in_transaction_session_timeout = 0")
    async with engine.begin() as connection:
        while True:
            is_held = await connection.scalar(poll)
            await connection.execute(without_snapshot)
            if is_held:
                break
            await asyncio.sleep(LOCK_POLL_SECONDS)
        yield


async def _build_indexes(engine: AsyncEngine) -> None:
    """Build the indexes that are marked as concurrent, without a lock that stops writes.

    One that a former run has left half-built is not valid, and is built anew. Nothing happens on a
    database of another release.
    """
    concurrently = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with concurrently.connect() as connection:
        if not await connection.run_sync(_is_at_head):
            return
        for table in Base.metadata.sorted_tables:
            found = await connection.execute(_INDEXES, {"table": table.name})
            valid = {row.relname: row.indisvalid for row in found}
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                if not index.dialect_options["postgresql"]["concurrently"]:
                    continue
                if valid.get(index.name) is False:
                    await connection.run_sync(index.drop)
                if not valid.get(index.name):
                    await connection.run_sync(index.create)


def _is_at_head(connection: Connection) -> bool:
    current = MigrationContext.configure(connection).get_current_revision()
    return current == ScriptDirectory.from_config(alembic_config(connection)).get_current_head()


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
