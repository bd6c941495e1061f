"""PostgreSQL stops, hangs, refuses and returns: every caller gets an error, and all recovers."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
from sqlalchemy import func, select, text

from drills.server import free_port
from drills.waiting import DEADLINE
from project.db.engine import CONNECTIONS, open_database
from project.db.migrate import upgrade
from project.errors import DatabaseUnavailable
from tests.database import Jobs, added, database_settings, new_job
from tests.services.postgres import Postgres, run_postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as server:
        yield server


@asynccontextmanager
async def opened(url: str, answer_seconds: float = DEADLINE) -> AsyncIterator[Jobs]:
    """The jobs of a database with tables, with every connection of the pool open."""
    settings = database_settings(url)
    await upgrade(settings)
    async with open_database(settings, answer_seconds=answer_seconds) as engine:
        jobs = Jobs.of(engine)
        await asyncio.gather(*(jobs.queries.check() for _ in range(CONNECTIONS)))
        yield jobs


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_ends_and_comes_back(postgres: Postgres, how):
    """What was committed is there, even after a crash; nothing of ours needs a restart."""
    url = postgres.new_database()

    async def test() -> None:
        async with opened(url) as jobs:
            job = await added(jobs)
            postgres.stop(how)
            for _ in range(2 * CONNECTIONS):
                with pytest.raises(DatabaseUnavailable, match="try again"):
                    await jobs.get(job.id)
            postgres.start()
            assert await jobs.get(job.id) == job

    try:
        asyncio.run(test())
    finally:
        if not postgres.runs:
            postgres.start()


def test_a_restart_between_two_statements_is_not_noticed(postgres: Postgres):
    """Connections that died while idle are replaced before they are used."""
    url = postgres.new_database()

    async def test() -> None:
        async with opened(url) as jobs:
            job = await added(jobs)
            postgres.stop()
            postgres.start()
            answers = await asyncio.gather(*(jobs.get(job.id) for _ in range(2 * CONNECTIONS)))
            assert answers == [job] * 2 * CONNECTIONS

    asyncio.run(test())


def test_a_server_that_hangs(postgres: Postgres):
    """Every statement fails in time, and the engine closes in time; then it works again."""
    url = postgres.new_database()

    async def test() -> None:
        async with opened(url, answer_seconds=1) as jobs:
            job = await added(jobs)
            with postgres.frozen():
                began = time.monotonic()
                answers = await asyncio.gather(
                    *(jobs.get(job.id) for _ in range(2 * CONNECTIONS)), return_exceptions=True
                )
                assert {type(answer) for answer in answers} == {DatabaseUnavailable}
                assert time.monotonic() - began < 30
            assert await jobs.get(job.id) == job

    asyncio.run(test())


def test_closing_does_not_wait_for_a_server_that_hangs(postgres: Postgres):
    """A process that ends has but so much time."""
    url = postgres.new_database()

    async def test() -> float:
        with ExitStack() as frozen:
            async with opened(url):
                frozen.enter_context(postgres.frozen())
                began = time.monotonic()
            return time.monotonic() - began

    assert asyncio.run(test()) < 30  # DEADLINE for each connection would be more


def test_a_statement_cut_off_in_the_middle(postgres: Postgres):
    """As by an administrator or a failover: it raises, and the next one works."""
    url = postgres.new_database()

    async def test() -> None:
        async with opened(url) as jobs, opened(url) as other:
            job = await added(jobs)
            async with other.engine.connect() as connection:
                await connection.execution_options(isolation_level="SERIALIZABLE")
                await connection.execute(text("SELECT 1 FROM jobs FOR UPDATE"))
                waiting = asyncio.create_task(jobs.transitions.cancel(job.id, 0))
                async with asyncio.timeout(DEADLINE):
                    while not await other_waits(jobs):  # noqa: ASYNC110 - there is no event
                        await asyncio.sleep(0.01)
                ended = select(func.pg_terminate_backend(text("pid"))).select_from(
                    text("pg_stat_activity WHERE wait_event_type = 'Lock'")
                )
                await connection.execute(ended)
                with pytest.raises(DatabaseUnavailable):
                    await waiting
            assert await jobs.get(job.id) == job

    asyncio.run(test())


async def other_waits(jobs: Jobs) -> bool:
    statement = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    async with jobs.engine.connect() as connection:
        return bool(await connection.scalar(statement))


def test_cancelled_tasks_leave_the_pool_usable(postgres: Postgres):
    """More cancelled tasks than there are connections, each at another point."""
    url = postgres.new_database()

    async def test() -> None:
        async with opened(url) as jobs:
            for turns in range(10 * CONNECTIONS):
                task = asyncio.create_task(jobs.transitions.add(new_job()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await asyncio.gather(*(jobs.queries.check() for _ in range(2 * CONNECTIONS)))

    asyncio.run(test())


def test_addresses_where_nothing_of_ours_is(postgres: Postgres):
    """No server, no such host, no such database, and something that never answers."""

    async def check(url: str) -> None:
        async with open_database(database_settings(url)) as engine:
            with pytest.raises(DatabaseUnavailable):
                await Jobs.of(engine).queries.check()
        with pytest.raises(DatabaseUnavailable):
            await upgrade(database_settings(url))

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(check(f"postgresql+asyncpg://me@127.0.0.1:{silent.getsockname()[1]}/jobs"))
    asyncio.run(check(f"postgresql+asyncpg://me@127.0.0.1:{free_port()}/jobs"))
    asyncio.run(check("postgresql+asyncpg://me@no-such-host.invalid/jobs"))
    asyncio.run(check(postgres.url("no_such_database")))
