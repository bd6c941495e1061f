"""The quota on SQLite and PostgreSQL: requests and processes at once, and jobs that end."""

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete, event
from sqlalchemy.ext.asyncio import AsyncEngine

from project.accounts.quota import Quota
from project.db.engine import open_database
from project.db.migrate import upgrade
from project.db.tables import UserRow
from project.db.usage import ChangeUnconfirmed, Usage, UsageChange, month_of
from project.errors import DatabaseUnavailable, QuotaExceeded
from project.settings import Settings
from tests.database import LEASE, PROBLEM, RESULT, Jobs, added, database_settings, sqlite_url
from tests.services.postgres import Postgres, run_postgres
from tests.usage import add_user

AT_ONCE = 50
PROCESSES = 2
DEADLINE = 60
NOW = time.time()
MONTH = month_of(NOW)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a new database with empty tables."""
    if request.param == "sqlite":
        made = database_settings(sqlite_url(tmp_path))
    else:
        made = database_settings(request.getfixturevalue("postgres").new_database())
    asyncio.run(upgrade(made))
    return made


def run(settings: Settings, test: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    """Run a test on a database with one user."""

    async def go() -> None:
        async with open_database(settings) as engine:
            await add_user(engine)
            await test(engine)

    asyncio.run(go())


async def made(quota: Quota, limit: int) -> bool:
    """Whether a prediction was made."""
    try:
        (await quota.reserve("ann", limit)).count()
    except QuotaExceeded:
        return False
    return True


def make_at_once(url: str, count: int, limit: int, begin: float) -> int:
    """In one process: so many requests at the same time; returns how many passed."""

    async def go() -> int:
        async with open_database(database_settings(url)) as engine:
            usage = Usage(engine)
            await usage.get("ann", MONTH)  # it is connected
            quota = Quota(usage)
            await asyncio.sleep(max(0.0, begin - time.time()))
            passed = await asyncio.gather(*(made(quota, limit) for _ in range(count)))
            await quota.aclose()
            return sum(passed)

    return asyncio.run(go())


def test_of_fifty_at_once_exactly_one_passes_one_below_the_quota(settings):
    """In one process."""

    async def test(engine: AsyncEngine) -> None:
        usage = Usage(engine)
        for _ in range(9):
            assert await made(Quota(usage), 10)
        quota = Quota(usage)
        passed = await asyncio.gather(*(made(quota, 10) for _ in range(AT_ONCE)))
        assert sum(passed) == 1
        await quota.aclose()
        assert await usage.get("ann", MONTH) == (10, 1)  # the nine others never wrote

    run(settings, test)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes, which have started."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn) as pool:
        for future in [pool.submit(time.sleep, 0.2) for _ in range(PROCESSES)]:
            future.result(DEADLINE)
        yield pool


@pytest.mark.parametrize(("quota", "used"), [(30, 29), (30, 0)])
def test_two_processes_make_no_more_than_the_quota(settings, processes, quota, used):
    """Fifty requests at once, half of them in each."""

    async def test(engine: AsyncEngine) -> None:
        for _ in range(used):
            await Usage(engine).reserve("ann", MONTH, 1, quota)

    run(settings, test)
    url = settings.database_url.get_secret_value()
    begin, each = time.time() + 0.5, AT_ONCE // PROCESSES
    futures = [processes.submit(make_at_once, url, each, quota, begin) for _ in range(PROCESSES)]
    passed = sum(future.result(DEADLINE) for future in futures)
    assert passed == quota - used

    async def check() -> None:
        async with open_database(settings) as engine:
            assert await Usage(engine).get("ann", MONTH) == (quota, quota - used)

    asyncio.run(check())


def test_a_block_is_reserved_only_far_from_the_limit(settings):
    """One is reserved to the last; of a user who does not exist, none."""

    async def test(engine: AsyncEngine) -> None:
        usage = Usage(engine)
        assert await usage.reserve("ann", MONTH, 2, 99) is None
        assert await usage.reserve("ann", MONTH, 2, 100) == 2
        assert await usage.reserve("ann", MONTH, 2, 101) is None
        assert await usage.reserve("ann", MONTH, 1, 3) == 3
        assert await usage.reserve("ann", MONTH, 1, 3) is None
        assert await usage.reserve("ann", "2020-01", 1, 0) is None
        assert await usage.reserve("nobody", MONTH, 1, 3) is None
        await usage.change([UsageChange("ann", MONTH, 1, 2), UsageChange("nobody", MONTH, 1, 0)])
        assert await usage.get("ann", MONTH) == (1, 1)
        async with engine.begin() as connection:
            await connection.execute(delete(UserRow))
        assert await usage.get("ann", MONTH) == (0, 0)

    run(settings, test)


@pytest.mark.parametrize(
    ("at", "kind"), [("before_cursor_execute", DatabaseUnavailable), ("commit", ChangeUnconfirmed)]
)
def test_a_lost_answer_to_a_commit_is_told_from_a_database_that_was_away(settings, at, kind):
    """After the one the change may be written, after the other it is not."""

    def lose(*_: object) -> None:
        raise ConnectionResetError

    async def test(engine: AsyncEngine) -> None:
        usage = Usage(engine)
        assert await usage.reserve("ann", MONTH, 1, 1) == 1
        event.listen(engine.sync_engine, at, lose)
        with pytest.raises(DatabaseUnavailable) as lost:
            await usage.change([UsageChange("ann", MONTH, 1, 0)])
        assert type(lost.value) is kind
        event.remove(engine.sync_engine, at, lose)
        _, used = await usage.get("ann", MONTH)
        assert used == 0 or kind is ChangeUnconfirmed

    run(settings, test)


def test_a_prediction_far_from_the_limit_costs_no_statement(settings):
    """A block is a hundred of them."""

    async def test(engine: AsyncEngine) -> None:
        quota = Quota(Usage(engine))
        assert await made(quota, 1_000_000)
        assert await made(quota, 1_000_000)
        statements = []
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: statements.append(1))
        for _ in range(99):
            assert await made(quota, 1_000_000)
        assert not statements
        await quota.aclose()
        assert await Usage(engine).get("ann", MONTH) == (101, 101)

    run(settings, test)


@pytest.mark.parametrize(("end", "expected"), [("succeed", (1, 1)), ("fail", (0, 0))])
def test_a_job_is_settled_once_however_often_its_end_is_told(settings, end, expected):
    """By its worker and by the sweeps of others, at the same time; before its end, not at all."""

    async def test(engine: AsyncEngine) -> None:
        usage, jobs = Usage(engine), Jobs.of(engine)
        await usage.reserve("ann", MONTH, 1, 1)
        job = await added(jobs, NOW, user_id="ann", quota_month=MONTH)
        await jobs.transitions.claim(job.id, "worker", NOW, LEASE)
        await usage.settle_job(job.id)
        assert await usage.get("ann", MONTH) == (1, 0)
        if end == "succeed":
            await jobs.transitions.succeed(job.id, "worker", NOW, RESULT, {})
        else:
            await jobs.transitions.fail(job.id, "worker", NOW, PROBLEM)
        assert await usage.unsettled_jobs(10) == [job.id]
        await asyncio.gather(*(usage.settle_job(job.id) for _ in range(4)))
        assert await usage.get("ann", MONTH) == expected
        assert await usage.unsettled_jobs(10) == []

    run(settings, test)


def test_a_users_batch_jobs_are_taken_after_its_others(settings):
    """However old they are, and in their own order."""

    async def test(engine: AsyncEngine) -> None:
        jobs = Jobs.of(engine)
        kinds = ("batch", "batch", "interactive", None, "batch")  # None: of an older release
        ids = [
            (await added(jobs, NOW + n, user_id="ann", priority=kind)).id
            for n, kind in enumerate(kinds)
        ]
        taken = await jobs.transitions.take_unsent("ann", NOW + 10, 3)
        assert [job.id for job in taken] == [ids[2], ids[3], ids[0]]
        taken = await jobs.transitions.take_unsent("ann", NOW + 10, 5)
        assert [job.id for job in taken] == [ids[1], ids[4]]

    run(settings, test)


def test_a_retry_takes_no_reservation_from_a_job(settings):
    """Another one is reserved only once the first is settled; without one, the first stays."""

    async def test(engine: AsyncEngine) -> None:
        usage, jobs = Usage(engine), Jobs.of(engine)
        await usage.reserve("ann", MONTH, 1, 2)
        job = await added(jobs, NOW, user_id="ann", quota_month=MONTH)
        await jobs.transitions.claim(job.id, "worker", NOW, LEASE)
        await jobs.transitions.fail(job.id, "worker", NOW, PROBLEM)
        await usage.reserve("ann", MONTH, 1, 2)
        assert await jobs.transitions.retry(job.id, NOW, MONTH) is None
        await usage.settle_job(job.id)
        assert (await jobs.transitions.retry(job.id, NOW, MONTH)).quota_month == MONTH
        assert await usage.get("ann", MONTH) == (1, 0)
        await jobs.transitions.claim(job.id, "worker", NOW, LEASE)
        await jobs.transitions.fail(job.id, "worker", NOW, PROBLEM)
        assert (await jobs.transitions.retry(job.id, NOW)).quota_month == MONTH

    run(settings, test)


def test_a_users_jobs_are_taken_a_few_at_a_time_and_the_oldest_first(settings):
    """However many ask at once; room is made by the end of one."""

    async def test(engine: AsyncEngine) -> None:
        jobs = Jobs.of(engine)
        mine = [await added(jobs, NOW + number, user_id="ann") for number in range(6)]
        other = await added(jobs, NOW, user_id="bob")
        ids = [job.id for job in mine]
        taken = await asyncio.gather(
            *(jobs.transitions.take_unsent("ann", NOW + 10, 3) for _ in range(5))
        )
        assert sorted(job.id for batch in taken for job in batch) == ids[:3]
        assert await jobs.transitions.take_unsent("ann", NOW + 10, 2) == []
        assert sorted(await jobs.queries.users_with_unsent(NOW + 10, 10)) == ["ann", "bob"]
        assert len(await jobs.queries.due(NOW + 10, 10)) == 4  # of a release that knows no users
        await jobs.transitions.cancel(ids[0], NOW)
        (following,) = await jobs.transitions.take_unsent("ann", NOW + 10, 3)
        assert following.id == ids[3]
        await jobs.transitions.mark_unsent(following.id)
        (again,) = await jobs.transitions.take_unsent("ann", NOW + 10, 3)
        assert again.id == ids[3]
        (first,) = await jobs.transitions.take_unsent("bob", NOW + 10, 3)
        assert first.id == other.id
        assert await jobs.queries.due(NOW + 10, 10, users_wait=True) == []

    run(settings, test)
