"""Jobs under concurrent tasks and processes, on SQLite and on a real PostgreSQL."""

import asyncio
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy.exc import StatementError

from drills.waiting import DEADLINE
from project.db.engine import open_database
from project.db.job_transitions import IdempotencyConflict
from project.db.migrate import upgrade
from project.settings import Settings
from tests.database import (
    HOSTILE,
    LEASE,
    NOW,
    RESULT,
    Jobs,
    added,
    database_settings,
    new_job,
    run_jobs,
    sqlite_url,
)
from tests.services.postgres import Postgres, run_postgres

PROCESSES, TASKS = 4, 5
OWNERS = PROCESSES * TASKS


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


def claim_all(url: str, process: int, ids: list[str]) -> list[tuple[str, str]]:
    """In one process: tasks that all try to claim every job; returns which owner claimed which."""

    async def claim(jobs: Jobs, owner: str) -> list[tuple[str, str]]:
        tried = [
            (job_id, await jobs.transitions.claim(job_id, owner, NOW, LEASE)) for job_id in ids
        ]
        return [(job_id, owner) for job_id, job in tried if job is not None]

    async def go() -> list[tuple[str, str]]:
        async with open_database(database_settings(url)) as engine:
            jobs = Jobs.of(engine)
            await jobs.queries.check()
            at_once()
            owners = [f"{process}-{task}" for task in range(TASKS)]
            return list(chain(*await asyncio.gather(*(claim(jobs, owner) for owner in owners))))

    return asyncio.run(go())


def live_through(url: str, process: int, number: int) -> int:
    """In one process: tasks that each run jobs of their own from start to end."""

    async def live(jobs: Jobs, owner: str) -> None:
        for _ in range(number):
            job = await added(jobs)
            assert await jobs.transitions.claim(job.id, owner, NOW, LEASE)
            assert await jobs.transitions.renew(job.id, owner, NOW, LEASE, 0.5)
            await jobs.queries.page(5)
            assert await jobs.transitions.succeed(job.id, owner, NOW, RESULT, {"forward": 1.0})

    async def go() -> None:
        async with open_database(database_settings(url)) as engine:
            jobs = Jobs.of(engine)
            await jobs.queries.check()
            at_once()
            await asyncio.gather(*(live(jobs, f"{process}-{task}") for task in range(TASKS)))

    asyncio.run(go())
    return number * TASKS


def add_one(url: str, process: int, key: str) -> list[tuple[str, bool]]:
    """In one process: tasks that each add a job with the same idempotency key."""

    async def go() -> list[tuple[str, bool]]:
        async with open_database(database_settings(url)) as engine:
            jobs = Jobs.of(engine)
            await jobs.queries.check()
            at_once()
            news = [new_job(idempotency_key=key) for _ in range(TASKS)]
            answers = await asyncio.gather(*(jobs.transitions.add(new) for new in news))
            return [(job.id, created) for job, created in answers]

    return asyncio.run(go())


barriers: list[Barrier] = []  # one, in each of the processes


def set_barrier(given: Barrier) -> None:
    barriers.append(given)


def at_once() -> None:
    """Wait for every process."""
    barriers[0].wait(DEADLINE)


def in_processes(work, settings: Settings, *arguments) -> list:
    """The result of each process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # each process would import it all
    url = settings.database_url.get_secret_value()
    with ProcessPoolExecutor(
        PROCESSES, context, initializer=set_barrier, initargs=(context.Barrier(PROCESSES),)
    ) as pool:
        futures = [pool.submit(work, url, number, *arguments) for number in range(PROCESSES)]
        return [future.result(DEADLINE) for future in futures]


def test_what_is_added_is_read_unchanged(settings: Settings):
    """On both databases, times to the microsecond too."""
    new = new_job(NOW + 0.123456, **HOSTILE)

    async def test(jobs: Jobs) -> None:
        job, _ = await jobs.transitions.add(new)
        assert job == await jobs.get(new.id)
        assert {name: getattr(job, name) for name in vars(new)} == vars(new)
        with pytest.raises(StatementError, match="JSON"):
            await jobs.transitions.add(new_job(params={"guidance": float("nan")}))

    run_jobs(settings, test)


def test_of_many_tasks_one_claims_the_job(settings: Settings):
    """After its lease has lapsed, again one of them."""

    async def test(jobs: Jobs) -> None:
        job = await added(jobs)
        for turn, now in enumerate((NOW, NOW + LEASE, NOW + 2 * LEASE)):
            owners = [f"{turn}-{number}" for number in range(20)]
            answers = await asyncio.gather(
                *(jobs.transitions.claim(job.id, owner, now, LEASE) for owner in owners)
            )
            (claim,) = [answer for answer in answers if answer is not None]
            assert claim.is_first is (turn == 0)
            assert claim.job.attempts == turn + 1
            assert claim.job == await jobs.get(job.id)

    run_jobs(settings, test)


def test_of_many_processes_one_claims_each_job(settings: Settings):
    """Twenty owners in four processes want each of thirty jobs."""

    async def add_some(jobs: Jobs) -> None:
        ids.extend([(await added(jobs)).id for _ in range(30)])

    async def check(jobs: Jobs) -> None:
        for job_id, owner in won:
            job = await jobs.get(job_id)
            assert (job.lease_owner, job.attempts, job.revision) == (owner, 1, 2)

    ids: list[str] = []
    run_jobs(settings, add_some)
    won = list(chain(*in_processes(claim_all, settings, ids)))
    assert Counter(job_id for job_id, _ in won) == dict.fromkeys(ids, 1)
    run_jobs(settings, check)


def test_many_writers_do_not_lock_each_other_out(settings: Settings):
    """Four processes write as fast as they can, and none finds the database locked."""

    async def check(jobs: Jobs) -> None:
        assert await jobs.count("succeeded") == sum(done)

    done = in_processes(live_through, settings, 8)
    assert sum(done) == OWNERS * 8
    run_jobs(settings, check)


def test_concurrent_requests_with_one_idempotency_key_add_one_job(settings: Settings):
    """All get the same job, which is new to one of them."""
    answers = list(chain(*in_processes(add_one, settings, "key")))
    assert len(answers) == OWNERS
    assert len({job_id for job_id, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1


def test_two_requests_with_one_idempotency_key_conflict(settings: Settings):
    """One is added; the other raises IdempotencyConflict."""

    async def test(jobs: Jobs) -> None:
        news = [new_job(idempotency_key="key", fingerprint=str(n % 2) * 64) for n in range(20)]
        answers = await asyncio.gather(
            *(jobs.transitions.add(new) for new in news), return_exceptions=True
        )
        conflicts = [one for one in answers if isinstance(one, IdempotencyConflict)]
        jobs_got = {one[0].id for one in answers if isinstance(one, tuple)}
        assert (len(conflicts), len(jobs_got)) == (10, 1)
        assert await jobs.count() == 1

    run_jobs(settings, test)


def test_a_job_is_cancelled_or_claimed_and_never_both(settings: Settings):
    """A job that is claimed first runs until its worker cancels it."""

    async def test(jobs: Jobs) -> None:
        for _ in range(20):
            job = await added(jobs)
            taken, asked = await asyncio.gather(
                jobs.transitions.claim(job.id, "one", NOW, LEASE),
                jobs.transitions.cancel(job.id, NOW),
            )
            assert asked is not None
            assert asked.status == ("cancelled" if taken is None else "running")
            assert asked.cancel_requested

    run_jobs(settings, test)
