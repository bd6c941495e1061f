"""Connections to the database: SQLite in a file or PostgreSQL, and what their failures mean."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from project.errors import ConfigurationError, DatabaseUnavailable
from project.settings import Settings

CONNECT_SECONDS = 5.0  # for PostgreSQL to take a connection
ANSWER_SECONDS = 10.0
CLOSE_SECONDS = 0.5  # for a connection to say farewell when the process ends
CONNECTIONS = 5  # of each process to PostgreSQL, which by default has a hundred for all

# SQLSTATEs, or classes of them, that say something of the server and nothing of the statement:
# connection lost, login refused, no such database, out of resources, shutting down, broken disk,
# a standby that takes no writes (PostgreSQL, appendix A).
_GONE_STATES = ("08", "28", "3D", "53", "57", "58", "25006")
_UNKNOWN_STATES = ("42P01", "42703")  # no such table, no such column
_GONE_CODES = {
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
    "json_serializer": partial(json.dumps, allow_nan=False),  # as PostgreSQL, so SQLite
    "hide_parameters": True,  # what callers send belongs into no traceback
}
_BEGIN = "begin"  # execution option for SQLite: whether to make it a transaction
_UNKNOWN_NAMES = ("no such table", "no such column", "has no column named")


@asynccontextmanager
async def open_database(
    settings: Settings, *, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[AsyncEngine]:
    """An engine whose connections are made on demand and closed at the end of the body.

    answer_seconds: for a statement, for a lock of SQLite's, for a connection of the pool.
    Raises ConfigurationError where the URL is none, or the folder of SQLite's file is not to be
    had; a database that is not there is found out by who uses it.
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
            pool_pre_ping=True,  # a connection that died while idle is replaced, not met
            connect_args={"timeout": CONNECT_SECONDS, "command_timeout": answer_seconds},
            **_COMMON,
        )
    try:
        yield engine
    finally:
        await _close(engine)


def by_statement(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, where every statement is a transaction of its own."""
    if is_sqlite(engine.url):
        return engine.execution_options(**{_BEGIN: False})
    return engine.execution_options(isolation_level="AUTOCOMMIT")


async def _close(engine: AsyncEngine) -> None:
    """Close connections one after the other; one that hangs is torn down, in its turn."""
    for _ in range(CONNECTIONS):
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await engine.dispose()
        except TimeoutError:
            logger.warning("database_connection_not_closed")
        else:
            return


def read_url(settings: Settings) -> URL:
    """DATABASE_URL in its parts. Raises ConfigurationError, which shows no part of it."""
    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):  # it may say the address, and with it a password
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
    """Whether it is SQLite; otherwise it is PostgreSQL, as the settings take no other."""
    return url.get_backend_name() == "sqlite"


@contextmanager
def translating() -> Iterator[None]:
    """Raise DatabaseUnavailable for what a driver raises where the database is gone or behind."""
    try:
        yield
    except Exception as error:
        cause = error.orig or error if isinstance(error, DBAPIError) else error
        if _is_gone(error, cause):
            advice = "the database does not answer; try again"
        elif _is_behind(cause):
            advice = "the database is not at this release yet: run `alembic upgrade head`"
        else:
            raise
        reason = f"{type(cause).__name__}: {cause}"  # the driver's words hold no row's values
        logger.bind(reason=reason).warning("database_unavailable")
        raise DatabaseUnavailable(advice) from error


def _is_gone(error: Exception, cause: BaseException) -> bool:
    if isinstance(error, OSError | PoolTimeout):  # refused, reset, too late, or no such host
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", -1) & 0xFF in _GONE_CODES  # the rest: details
    return _state(cause).startswith(_GONE_STATES)


def _is_behind(cause: BaseException) -> bool:
    if isinstance(cause, sqlite3.OperationalError):  # SQLite has no code for it
        return any(words in str(cause) for words in _UNKNOWN_NAMES)
    return _state(cause) in _UNKNOWN_STATES


def _state(cause: BaseException) -> str:
    """The SQLSTATE of asyncpg's errors, which come wrapped or, while connecting, bare."""
    return str(getattr(cause, "sqlstate", None) or "")


def _sqlite_engine(url: URL, answer_seconds: float) -> AsyncEngine:
    """One connection for each process, handed on in turn.

    SQLite has one writer at a time; who waits for it inside asks again and again, so within a
    process it is better to stand in a queue.
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
    # Transactions begin in _begin and nowhere else. Were it SQLAlchemy that switched this for each
    # statement, a task cancelled meanwhile would take the connection with it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # readers and a writer do not wait for each other
    cursor.execute("PRAGMA synchronous=NORMAL")  # safe when a process dies; at a power cut, WAL's
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Ask for the right to write at a transaction's start, where waiting for it can help.

    One that has read, and then wants to write, fails at once if another has written meanwhile.
    """
    if connection.get_execution_options().get(_BEGIN, True):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
