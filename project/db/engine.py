"""Connects to the database, SQLite in a file or PostgreSQL, and translates its errors."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import URL, Connection, Executable, Row, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from project.errors import ConfigurationError, DatabaseUnavailable
from project.settings import Settings

CONNECT_SECONDS = 5.0  # for PostgreSQL to accept a connection
ANSWER_SECONDS = 10.0
CLOSE_SECONDS = 0.5  # for a connection to PostgreSQL to close when the process ends
CLOSE_FILE_SECONDS = 5.0  # for that to a file, which only a starved machine delays
CONNECTIONS = 5  # of each process to PostgreSQL, which by default allows a hundred in all

# SQLSTATEs, or classes of them, that concern the server and not the statement: connection lost,
# login refused, no such database, out of resources, shutting down, broken disk, a read-only
# standby, a lock that a migration did not get in time (PostgreSQL, appendix A).
_UNREACHABLE_STATES = ("08", "28", "3D", "53", "57", "58", "25006", "55P03")
_UNKNOWN_STATES = ("42P01", "42703")  # no such table, no such column
_UNREACHABLE_CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
_COMMON: dict[str, Any] = {
    "json_serializer": partial(json.dumps, allow_nan=False),  # PostgreSQL refuses NaN anyway
    "hide_parameters": True,  # no traceback shows what clients send
}
_BEGIN = "begin"  # execution option for SQLite: whether to begin a transaction
_UNKNOWN_NAMES = ("no such table", "no such column", "has no column named")

Rows = Sequence[Row[*tuple[Any, ...]]]


@asynccontextmanager
async def open_database(
    settings: Settings, *, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[AsyncEngine]:
    """An engine that connects on demand and closes its connections when the context closes.

    answer_seconds: the time limit of a statement, of a lock of SQLite, of a connection of the pool.
    Raises ConfigurationError for an invalid URL, and where the folder of SQLite's file cannot be
    created. An unreachable database raises DatabaseUnavailable at the first statement.
    """
    url = read_url(settings)
    if is_sqlite(url):
        engine = _sqlite_engine(url, answer_seconds)
    else:
        engine = create_async_engine(
            url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=answer_seconds,
            pool_pre_ping=True,  # replaces a connection that died while idle
            connect_args={"timeout": CONNECT_SECONDS, "command_timeout": answer_seconds},
            **_COMMON,
        )
    try:
        yield engine
    finally:
        await _close(engine, CLOSE_FILE_SECONDS if is_sqlite(url) else CLOSE_SECONDS)


class StatementRunner:
    """Runs single statements, each a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.is_sqlite = is_sqlite(engine.url)
        if self.is_sqlite:
            self._engine = engine.execution_options(**{_BEGIN: False})
        else:
            self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Rows:
        """Run a statement and return its rows; it is committed then.

        Raises DatabaseUnavailable.
        """
        with translating():
            async with self._engine.connect() as connection:
                return (await connection.execute(statement, parameters)).all()


async def _close(engine: AsyncEngine, seconds: float) -> None:
    """Close connections one after the other; the time limit ends one that hangs."""
    for _ in range(CONNECTIONS):
        try:
            async with asyncio.timeout(seconds):
                await engine.dispose()
        except TimeoutError:
            logger.warning("database_connection_not_closed")
        else:
            return


def read_url(settings: Settings) -> URL:
    """DATABASE_URL, parsed. Raises ConfigurationError, which shows no part of it."""
    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):  # its message may contain the password
        raise ConfigurationError(
            "DATABASE_URL: write it as sqlite+aiosqlite:///path or "
            "postgresql+asyncpg://user:password@host:port/name"
        ) from None
    if is_sqlite(url) and (not url.database or url.database.startswith((":memory:", "file:"))):
        raise ConfigurationError(
            "DATABASE_URL: name a file, sqlite+aiosqlite:///path; "
            "in memory every connection would have a database of its own"
        )
    return url


def is_sqlite(url: URL) -> bool:
    """Whether it is SQLite; otherwise it is PostgreSQL, because the settings allow no other."""
    return url.get_backend_name() == "sqlite"


@contextmanager
def translating() -> Iterator[None]:
    """Raise DatabaseUnavailable for a driver's error that the statement is not the cause of.

    The database is unreachable, or lacks a migration. Every other error passes unchanged.
    """
    try:
        yield
    except Exception as error:
        cause = error.orig or error if isinstance(error, DBAPIError) else error
        if _is_unreachable(error, cause):
            advice = "the database does not answer; try again"
        elif _lacks_migration(cause):
            advice = "the database is not at this release yet: run `alembic upgrade head`"
        else:
            raise
        reason = f"{type(cause).__name__}: {cause}"  # the driver's message holds no row's values
        logger.bind(reason=reason).warning("database_unavailable")
        raise DatabaseUnavailable(advice) from error


def _is_unreachable(error: Exception, cause: BaseException) -> bool:
    if isinstance(error, OSError | PoolTimeout):  # refused, reset, timed out, or no such host
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(cause, sqlite3.Error):
        return (
            getattr(cause, "sqlite_errorcode", -1) & 0xFF in _UNREACHABLE_CODES
        )  # the other bits: details
    return _state(cause).startswith(_UNREACHABLE_STATES)


def _lacks_migration(cause: BaseException) -> bool:
    if isinstance(cause, sqlite3.OperationalError):  # SQLite has no code for it
        return any(words in str(cause) for words in _UNKNOWN_NAMES)
    return _state(cause) in _UNKNOWN_STATES


def _state(cause: BaseException) -> str:
    """The SQLSTATE of an asyncpg error, which SQLAlchemy wraps except while connecting."""
    return str(getattr(cause, "sqlstate", None) or "")


def _sqlite_engine(url: URL, answer_seconds: float) -> AsyncEngine:
    """An engine with one connection for the process, which its tasks use one after the other.

    SQLite allows one writer at a time and polls for the lock, so within a process a queue for the
    connection is cheaper.
    """
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the folder {folder}: {error.strerror}; name another in DATABASE_URL"
        ) from error
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=answer_seconds,
        connect_args={"timeout": answer_seconds},  # to wait for other processes that write
        **_COMMON,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # Transactions begin in _begin and nowhere else. If SQLAlchemy switched this for each statement,
    # a task that is cancelled meanwhile would invalidate the connection.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not block each other
    cursor.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; a power cut may
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Take the write lock at the start of a transaction, when SQLite can still wait for it.

    A transaction that reads first and then writes fails at once if another has written meanwhile.
    """
    if connection.get_execution_options().get(_BEGIN, True):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
