"""A job's life in the database: who may change it when, and what it says afterwards."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from project.db.job_transitions import JobTransitions
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

Run = Callable[[Callable[[JobTransitions], Awaitable[None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a test on a new database."""
    return partial(run_jobs, database_settings(sqlite_url(tmp_path)))


def test_a_job_that_goes_well(run):
    """Accepted, sent, claimed, renewed, succeeded; its revision counts every change."""

    async def test(jobs: JobTransitions) -> None:
        job = await added(jobs)
        assert (job.status, job.revision, job.progress, job.attempts) == ("accepted", 1, 0, 0)
        await jobs.mark_sent(job.id, NOW + 1)
        job = await jobs.claim(job.id, "one", NOW + 2, LEASE)
        assert job is not None
        assert (job.status, job.revision, job.sent_at) == ("running", 3, NOW + 1)
        assert (job.attempts, job.started_at) == (1, NOW + 2)
        assert (job.lease_owner, job.lease_until) == ("one", NOW + 2 + LEASE)
        renewal = await jobs.renew(job.id, "one", NOW + 3, LEASE, 0.5)
        assert renewal is not None
        assert renewal.cancel_requested is False
        half = await jobs.get(job.id)
        assert half is not None
        assert (half.progress, half.lease_until) == (0.5, NOW + 3 + LEASE)
        assert await jobs.succeed(job.id, "one", NOW + 4, RESULT, {"forward": 1.5})
        job = await jobs.get(job.id)
        assert job is not None
        assert (job.status, job.revision, job.progress) == ("succeeded", 5, 1)
        assert (job.result, job.seconds, job.problem) == (RESULT, {"forward": 1.5}, None)
        assert (job.finished_at, job.lease_until) == (NOW + 4, None)

    run(test)


def test_a_held_job_is_not_given_to_a_second(run):
    """Nor is one that has ended."""

    async def test(jobs: JobTransitions) -> None:
        job = await claimed(jobs, "one")
        assert await jobs.claim(job.id, "two", NOW + LEASE - 1, LEASE) is None
        assert await jobs.succeed(job.id, "one", NOW, RESULT, {})
        assert await jobs.claim(job.id, "two", NOW + 2 * LEASE, LEASE) is None

    run(test)


def test_a_lapsed_lease_goes_to_who_asks_and_its_old_owner_is_told(run):
    """Whatever the old owner does then changes nothing."""

    async def test(jobs: JobTransitions) -> None:
        job = await claimed(jobs, "one")
        later = NOW + LEASE
        taken = await jobs.claim(job.id, "two", later, LEASE)
        assert taken is not None
        assert (taken.attempts, taken.started_at, taken.lease_owner) == (2, NOW, "two")
        assert await jobs.renew(job.id, "one", later, LEASE, 0.9) is None
        assert not await jobs.succeed(job.id, "one", later, RESULT, {})
        assert not await jobs.fail(job.id, "one", later, PROBLEM)
        assert not await jobs.cancelled(job.id, "one", later)
        assert not await jobs.release(job.id, "one", later, later, PROBLEM)
        assert await jobs.get(job.id) == taken
        assert await jobs.fail(job.id, "two", later, PROBLEM)

    run(test)


def test_a_late_owner_keeps_what_nobody_took(run):
    """A lapsed lease is free to be taken, not gone."""

    async def test(jobs: JobTransitions) -> None:
        job = await claimed(jobs)
        assert await jobs.renew(job.id, "one", NOW + 3 * LEASE, LEASE, 0.9)
        assert await jobs.claim(job.id, "two", NOW + 3 * LEASE, LEASE) is None

    run(test)


def test_a_released_job_waits_for_its_time(run):
    """It keeps why the last run failed until it succeeds."""

    async def test(jobs: JobTransitions) -> None:
        job = await claimed(jobs)
        await jobs.mark_sent(job.id, NOW)
        assert await jobs.release(job.id, "one", NOW + 1, NOW + 5, PROBLEM)
        job = await jobs.get(job.id)
        assert job is not None
        assert (job.status, job.sent_at, job.problem) == ("accepted", None, PROBLEM)
        assert (job.lease_owner, job.lease_until, job.finished_at) == (None, None, None)
        assert await jobs.claim(job.id, "two", NOW + 4, LEASE) is None
        assert await jobs.due(NOW + 4, 10) == []
        assert await jobs.oldest_accepted_at() == NOW + 5
        assert [due.id for due in await jobs.due(NOW + 5, 10)] == [job.id]
        again = await jobs.claim(job.id, "two", NOW + 5, LEASE)
        assert again is not None
        assert (again.attempts, again.retry_at) == (2, None)
        assert await jobs.succeed(job.id, "two", NOW + 6, RESULT, {})
        done = await jobs.get(job.id)
        assert done is not None
        assert done.problem is None

    run(test)


def test_cancelling(run):
    """At once while it waits, through its worker while it runs, not at all when it has ended."""

    async def test(jobs: JobTransitions) -> None:
        waiting = await added(jobs)
        gone = await jobs.cancel(waiting.id, NOW + 1)
        assert gone is not None
        assert (gone.status, gone.finished_at, gone.revision) == ("cancelled", NOW + 1, 2)
        assert await jobs.cancel(waiting.id, NOW + 9) == gone
        assert await jobs.claim(waiting.id, "one", NOW + 9, LEASE) is None

        running = await claimed(jobs)
        asked = await jobs.cancel(running.id, NOW + 1)
        assert asked is not None
        assert (asked.status, asked.cancel_requested, asked.finished_at) == ("running", True, None)
        assert await jobs.cancel(running.id, NOW + 2) == asked
        renewal = await jobs.renew(running.id, "one", NOW + 2, LEASE, 0.5)
        assert renewal is not None
        assert renewal.cancel_requested
        assert await jobs.cancelled(running.id, "one", NOW + 3)
        ended = await jobs.get(running.id)
        assert ended is not None
        assert (ended.status, ended.finished_at) == ("cancelled", NOW + 3)
        assert await jobs.cancel("0" * 32, NOW) is None

    run(test)


def test_a_job_that_is_to_be_cancelled_does_not_run_again(run):
    """Its release cancels it; and who takes it after a worker's death is told at once."""

    async def test(jobs: JobTransitions) -> None:
        released, lapsed = await claimed(jobs), await claimed(jobs)
        for job in (released, lapsed):
            await jobs.cancel(job.id, NOW)
        assert await jobs.release(released.id, "one", NOW + 1, NOW + 5, PROBLEM)
        ended = await jobs.get(released.id)
        assert ended is not None
        assert (ended.status, ended.finished_at, ended.retry_at) == ("cancelled", NOW + 1, None)
        taken = await jobs.claim(lapsed.id, "two", NOW + LEASE, LEASE)
        assert taken is not None
        assert taken.cancel_requested

    run(test)


def test_a_failed_job_can_be_retried_while_its_inputs_are_there(run):
    """As if it had never run; and no other job can."""

    async def test(jobs: JobTransitions) -> None:
        job = await claimed(jobs)
        assert await jobs.retry(job.id, NOW) is None
        assert await jobs.fail(job.id, "one", NOW + 1, PROBLEM)
        again = await jobs.retry(job.id, NOW + 2)
        assert again is not None
        assert (again.status, again.attempts, again.problem) == ("accepted", 0, None)
        assert (again.started_at, again.finished_at, again.retry_at) == (NOW, None, NOW + 2)
        assert await jobs.claim(job.id, "two", NOW + 2, LEASE)
        assert await jobs.fail(job.id, "two", NOW + 3, PROBLEM)
        assert not await jobs.begin_deleting(job.id, NOW + 3)
        assert await jobs.begin_deleting(job.id, NOW + 4)
        assert await jobs.retry(job.id, NOW + 5) is None
        assert [left.id for left in await jobs.ended_with_files(NOW + 4, 9)] == [job.id]
        await jobs.files_deleted(job.id, NOW + 4)
        assert await jobs.retry(job.id, NOW + 5) is None
        assert await jobs.ended_with_files(NOW + 4, 9) == []

    run(test)


def test_files_of_a_job_that_is_run_again_are_not_deleted(run):
    """A sweep that has looked before must look again."""

    async def test(jobs: JobTransitions) -> None:
        job = await claimed(jobs)
        assert await jobs.fail(job.id, "one", NOW + 1, PROBLEM)
        assert [left.id for left in await jobs.ended_with_files(NOW + 2, 9)] == [job.id]
        assert await jobs.retry(job.id, NOW + 2)
        assert not await jobs.begin_deleting(job.id, NOW + 2)

    run(test)


def test_a_claim_whose_answer_was_lost_is_made_again_by_the_same_run(run):
    """It costs no second attempt; another run is still a stranger."""

    async def test(jobs: JobTransitions) -> None:
        job = await claimed(jobs)
        again = await jobs.claim(job.id, "one", NOW + 1, LEASE)
        assert again is not None
        assert again.attempts == 1
        assert await jobs.claim(job.id, "two", NOW + 1, LEASE) is None

    run(test)


def test_a_job_whose_worker_died_is_cancelled_at_once(run):
    """Asked before or after its lease was over: there is no worker to do it."""

    async def test(jobs: JobTransitions) -> None:
        before, after = await claimed(jobs), await claimed(jobs)
        asked = await jobs.cancel(before.id, NOW + 1)
        assert asked is not None
        assert asked.status == "running"
        assert await jobs.cancel_lapsed(NOW + 1) == []
        assert await jobs.cancel_lapsed(NOW + LEASE) == ["shade"]
        gone = await jobs.get(before.id)
        assert gone is not None
        assert (gone.status, gone.finished_at) == ("cancelled", NOW + LEASE)
        asked = await jobs.cancel(after.id, NOW + LEASE)
        assert asked is not None
        assert (asked.status, asked.finished_at) == ("cancelled", NOW + LEASE)
        assert not await jobs.succeed(after.id, "one", NOW + LEASE, RESULT, {})

    run(test)
