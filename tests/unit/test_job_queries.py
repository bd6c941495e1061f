"""Queries over all jobs: pages, those to send again, those whose files to delete."""

import pytest
from sqlalchemy import event

from project.db.records import Job
from tests.database import LEASE, NOW, PROBLEM, RESULT, Jobs, added, claimed

pytestmark = pytest.mark.anyio
RESEND = 60.0


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_paging_neither_skips_nor_repeats_while_jobs_are_added(jobs):
    """New ones stand before the first page; every older one is listed once, newest first."""
    there = [(await added(jobs, NOW + second // 3)).id for second in range(20)]
    seen: list[str] = []
    while page := await jobs.queries.page(3, before=seen[-1] if seen else None):
        seen += ids(page)
        await added(jobs, NOW + 100)
    assert seen == sorted(there, reverse=True)
    assert await jobs.count() == 27


async def test_pages_of_one_model_or_status(jobs):
    """The filters combine."""
    light = [(await added(jobs, NOW + n, model="light")).id for n in range(3)]
    dark = await added(jobs, NOW + 3, model="dark")
    await jobs.transitions.cancel(light[0], NOW)
    page = jobs.queries.page
    assert ids(await page(9, model="light")) == light[::-1]
    assert ids(await page(9, status="accepted")) == [dark.id, *light[:0:-1]]
    assert ids(await page(9, None, "light", "cancelled")) == light[:1]
    assert ids(await page(9, light[2], "light")) == light[1::-1]
    assert await page(9, model="none") == []


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"model": "light", "status": "failed"}, "ix_jobs_model_status"),
        ({"model": "light"}, "ix_jobs_model"),
        ({"status": "failed"}, "ix_jobs_status"),
    ],
)
async def test_a_page_is_read_from_an_index_in_its_order(jobs: Jobs, asked, index):
    """However many other rows there are, none is read and nothing is sorted."""
    statements: list[tuple[str, tuple[object, ...]]] = []
    event.listen(
        jobs.engine.sync_engine,
        "before_cursor_execute",
        lambda *given: statements.append((given[2], given[3])),
    )
    await jobs.queries.page(20, "f" * 32, **asked)
    statement, values = statements[-1]
    async with jobs.engine.connect() as connection:
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        (step,) = [row[3] for row in plan]
    columns = " AND ".join(f"{column}=?" for column in asked)
    assert step == f"SEARCH jobs USING INDEX {index} ({columns} AND id<?)"


async def test_a_job_without_a_message_is_due(jobs):
    """Never sent, or sent long ago and still waiting; the oldest first, up to the limit."""
    never, lost, fresh, new = [await added(jobs, NOW + n) for n in range(4)]
    await jobs.transitions.mark_sent(lost.id, NOW - RESEND)
    await jobs.transitions.mark_sent(fresh.id, NOW - RESEND + 1)
    assert ids(await jobs.queries.due(NOW + 3, 10)) == [never.id, new.id]
    assert ids(await jobs.queries.due(NOW + 3, 10, grace=2)) == [never.id]
    assert ids(await jobs.queries.due(NOW + 3, 1)) == [never.id]
    assert ids(await jobs.queries.waiting_since(NOW - RESEND, 10)) == [lost.id]
    for job in (never, lost, new):
        await jobs.transitions.mark_sent(job.id, NOW)
    assert ids(await jobs.queries.due(NOW + 3, 10)) == []
    assert ids(await jobs.queries.waiting_since(NOW - RESEND, 10)) == []


async def test_a_job_whose_worker_died_is_due_once(jobs):
    """And again if no worker claims it for long."""
    job = await claimed(jobs)
    await jobs.transitions.mark_sent(job.id, NOW)
    lapsed = NOW + LEASE
    assert ids(await jobs.queries.due(lapsed - 1, 10, resend_after=RESEND)) == []
    assert ids(await jobs.queries.due(lapsed, 10, resend_after=RESEND)) == [job.id]
    await jobs.transitions.mark_sent(job.id, lapsed)
    assert ids(await jobs.queries.due(lapsed + 1, 10, resend_after=RESEND)) == []
    assert ids(await jobs.queries.due(lapsed + RESEND, 10, resend_after=RESEND)) == [job.id]


async def test_a_job_that_has_ended_is_never_due(jobs):
    """Nor does a late note that it was sent change it."""
    job = await added(jobs)
    cancelled = await jobs.transitions.cancel(job.id, NOW)
    await jobs.transitions.mark_sent(job.id, NOW)
    assert await jobs.get(job.id) == cancelled
    assert await jobs.queries.due(NOW + 10 * RESEND, 10) == []
    assert await jobs.queries.waiting_since(NOW + 10 * RESEND, 10) == []


async def test_files_of_ended_jobs_are_found_until_they_are_deleted(jobs):
    """In the order of their ends; a running job is not found."""
    running, late, early = [await claimed(jobs) for _ in range(3)]
    assert await jobs.transitions.succeed(late.id, "one", NOW + 2, RESULT, {})
    assert await jobs.transitions.fail(early.id, "one", NOW + 1, PROBLEM)
    find = jobs.queries.ended_with_files
    assert ids(await find(NOW + 3, 10)) == [early.id, late.id]
    assert ids(await find(NOW + 2, 10)) == [early.id]
    assert ids(await find(NOW + 3, 1)) == [early.id]
    for job in (running, early):
        await jobs.transitions.mark_files_deleted(job.id, NOW + 4)
    assert ids(await find(NOW + 3, 10)) == [late.id]
    assert await jobs.get(running.id) == running
    assert (await jobs.get(early.id)).files_deleted_at == NOW + 4
