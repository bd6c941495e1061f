"""What is asked of all jobs: pages, those to send again, those to clear away, counts."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event

from project.db.engine import open_database
from project.db.job_transitions import Job, JobTransitions
from project.db.migrate import upgrade
from tests.database import (
    LEASE,
    NOW,
    PROBLEM,
    RESULT,
    added,
    claimed,
    database_settings,
    run_jobs,
    sqlite_url,
)

UNSENT = 60.0

Run = Callable[[Callable[[JobTransitions], Awaitable[None]]], None]


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a test on a new database."""
    return partial(run_jobs, database_settings(sqlite_url(tmp_path)))


def test_paging_neither_skips_nor_repeats_while_jobs_are_added(run):
    """New ones stand before the first page; what was there comes once, newest first."""

    async def test(jobs: JobTransitions) -> None:
        there = [(await added(jobs, NOW + second // 3)).id for second in range(20)]
        seen: list[str] = []
        while page := await jobs.page(3, before=seen[-1] if seen else None):
            seen += [job.id for job in page]
            await added(jobs, NOW + 100)
        assert seen == sorted(there, reverse=True)
        assert len(await jobs.page(100)) == 27

    run(test)


def test_pages_of_one_model_or_status(run):
    """Both may be asked for together."""

    async def test(jobs: JobTransitions) -> None:
        light = [(await added(jobs, NOW + n, model="light")).id for n in range(3)]
        dark = await added(jobs, NOW + 3, model="dark")
        await jobs.cancel(light[0], NOW)
        assert [job.id for job in await jobs.page(9, model="light")] == light[::-1]
        assert [job.id for job in await jobs.page(9, status="accepted")] == [dark.id, *light[:0:-1]]
        assert [job.id for job in await jobs.page(9, None, "light", "cancelled")] == light[:1]
        assert [job.id for job in await jobs.page(9, light[2], "light")] == light[1::-1]
        assert await jobs.page(9, model="none") == []

    run(test)


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"model": "light", "status": "failed"}, "ix_jobs_model_status"),
        ({"model": "light"}, "ix_jobs_model"),
        ({"status": "failed"}, "ix_jobs_status"),
    ],
)
def test_a_page_is_read_from_an_index_in_its_order(tmp_path, asked, index):
    """However many rows there are of others: none of them is looked at, and nothing is sorted."""
    settings = database_settings(sqlite_url(tmp_path))

    async def test() -> None:
        await upgrade(settings)
        async with open_database(settings) as engine:
            pages: list[tuple[str, tuple[object, ...]]] = []
            event.listen(
                engine.sync_engine,
                "before_cursor_execute",
                lambda *given: pages.append((given[2], given[3])),
            )
            await JobTransitions(engine).page(20, "f" * 32, **asked)
            statement, values = pages[-1]
            async with engine.connect() as connection:
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                (step,) = [row[3] for row in plan]
            columns = " AND ".join(f"{column}=?" for column in asked)
            assert step == f"SEARCH jobs USING INDEX {index} ({columns} AND id<?)"

    asyncio.run(test())


def test_a_job_is_sent_again_where_its_message_seems_lost(run):
    """Never sent, or sent long ago and still waiting; the oldest first, so many at a time."""

    async def test(jobs: JobTransitions) -> None:
        never, lost, fresh, new = [await added(jobs, NOW + n) for n in range(4)]
        await jobs.mark_sent(lost.id, NOW - UNSENT)
        await jobs.mark_sent(fresh.id, NOW - UNSENT + 1)
        assert ids(await jobs.due(NOW + 3, 10)) == [never.id, new.id]
        assert ids(await jobs.due(NOW + 3, 10, grace=2)) == [never.id]
        assert ids(await jobs.due(NOW + 3, 1)) == [never.id]
        assert ids(await jobs.long_sent(NOW - UNSENT, 10)) == [lost.id]
        for job in (never, lost, new):
            await jobs.mark_sent(job.id, NOW)
        assert ids(await jobs.due(NOW + 3, 10)) == []
        assert ids(await jobs.long_sent(NOW - UNSENT, 10)) == []

    run(test)


def test_a_job_whose_worker_died_is_sent_again_once(run):
    """And again only if nobody takes it for long."""

    async def test(jobs: JobTransitions) -> None:
        job = await claimed(jobs)
        await jobs.mark_sent(job.id, NOW)
        silent = NOW + LEASE
        assert ids(await jobs.due(silent - 1, 10, patience=UNSENT)) == []
        assert ids(await jobs.due(silent, 10, patience=UNSENT)) == [job.id]
        await jobs.mark_sent(job.id, silent)
        assert ids(await jobs.due(silent + 1, 10, patience=UNSENT)) == []
        assert ids(await jobs.due(silent + UNSENT, 10, patience=UNSENT)) == [job.id]

    run(test)


def test_ended_jobs_are_never_sent(run):
    """Nor does a late note that one was sent change it."""

    async def test(jobs: JobTransitions) -> None:
        job = await added(jobs)
        gone = await jobs.cancel(job.id, NOW)
        await jobs.mark_sent(job.id, NOW)
        assert await jobs.get(job.id) == gone
        assert await jobs.due(NOW + 10 * UNSENT, 10) == []
        assert await jobs.long_sent(NOW + 10 * UNSENT, 10) == []

    run(test)


def test_files_of_ended_jobs_are_found_until_they_are_deleted(run):
    """Those that ended first come first; what still runs has none to clear away."""

    async def test(jobs: JobTransitions) -> None:
        running, late, early = [await claimed(jobs) for _ in range(3)]
        assert await jobs.succeed(late.id, "one", NOW + 2, RESULT, {})
        assert await jobs.fail(early.id, "one", NOW + 1, PROBLEM)
        found = await jobs.ended_with_files(NOW + 3, 10)
        assert [job.id for job in found] == [early.id, late.id]
        assert [job.id for job in await jobs.ended_with_files(NOW + 2, 10)] == [early.id]
        assert [job.id for job in await jobs.ended_with_files(NOW + 3, 1)] == [early.id]
        for job in (running, early):
            await jobs.files_deleted(job.id, NOW + 4)
        assert [job.id for job in await jobs.ended_with_files(NOW + 3, 10)] == [late.id]
        kept, cleared = await jobs.get(running.id), await jobs.get(early.id)
        assert kept == running
        assert cleared is not None
        assert cleared.files_deleted_at == NOW + 4

    run(test)


def test_counts_and_the_longest_wait(run):
    """Every status is there from the start; what waits for its retry waits since then."""

    async def test(jobs: JobTransitions) -> None:
        nothing = {"accepted": 0, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
        assert await jobs.counts() == nothing
        assert await jobs.oldest_accepted_at() is None
        retried = await claimed(jobs)
        await jobs.release(retried.id, "one", NOW, NOW + 9, PROBLEM)
        assert await jobs.oldest_accepted_at() == NOW + 9
        await added(jobs, NOW + 2)
        await claimed(jobs)
        assert await jobs.oldest_accepted_at() == NOW + 2
        assert await jobs.counts() == nothing | {"accepted": 2, "running": 1}

    run(test)
