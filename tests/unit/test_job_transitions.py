"""The transitions of a job: which are allowed when, and what the row holds afterwards."""

import re
from dataclasses import fields

import pytest
from sqlalchemy.exc import IntegrityError, StatementError

from project.db.job_transitions import IdempotencyConflict
from project.db.records import ID_PATTERN, Job, new_id
from project.db.tables import JobRow
from tests.database import HOSTILE, LEASE, NOW, PROBLEM, RESULT, added, claimed, new_job

pytestmark = pytest.mark.anyio


async def test_what_is_added_is_read_unchanged(jobs):
    """Any text that JSON can hold, empty or hostile; and every column is a field of Job."""
    new = new_job(NOW, **HOSTILE)
    job, _ = await jobs.transitions.add(new)
    assert job == await jobs.get(new.id)
    assert {name: getattr(job, name) for name in vars(new)} == vars(new)
    assert [field.name for field in fields(Job)] == JobRow.__table__.columns.keys()
    assert await jobs.queries.get("0" * 32) is None


async def test_a_number_that_json_cannot_hold_is_rejected(jobs):
    """SQLite would accept it, PostgreSQL would not."""
    with pytest.raises(StatementError, match="JSON"):
        await jobs.transitions.add(new_job(params={"guidance": float("nan")}))
    assert await jobs.count() == 0


async def test_no_error_shows_what_clients_sent(jobs):
    """It may end in a log; only a bug leads there, such as the same id twice."""
    new = new_job(params={"prompt": "private"})
    await jobs.transitions.add(new)
    with pytest.raises(IntegrityError) as refused:
        await jobs.transitions.add(new)
    assert "private" not in str(refused.value)


async def test_the_same_idempotency_key_gives_the_same_job(jobs):
    """In its current state; another request with the key is a conflict."""
    first = await added(jobs, idempotency_key="key")
    await jobs.transitions.claim(first.id, "one", NOW, LEASE)
    again, is_new = await jobs.transitions.add(new_job(idempotency_key="key"))
    assert not is_new
    assert again == await jobs.get(first.id)
    with pytest.raises(IdempotencyConflict, match="another key") as refused:
        await jobs.transitions.add(new_job(idempotency_key="key", fingerprint="0" * 64))
    assert refused.value.status == 422
    await added(jobs, idempotency_key="other")
    assert len({(await added(jobs)).id for _ in range(3)}) == 3  # without a key
    assert await jobs.count() == 5


def test_ids_sort_by_the_time_of_creation():
    """So that they page; and two of one moment differ."""
    ids = [new_id(NOW + second / 1000) for second in range(1000)]
    assert ids == sorted(ids)
    assert len({new_id(NOW) for _ in range(1000)}) == 1000
    assert all(re.fullmatch(ID_PATTERN, one) for one in ids)


async def test_a_job_that_succeeds(jobs):
    """Accepted, sent, claimed, renewed, succeeded; its revision counts every change."""
    job = await added(jobs)
    assert (job.status, job.revision, job.progress, job.attempts) == ("accepted", 1, 0, 0)
    await jobs.transitions.mark_sent(job.id, NOW + 1)
    claim = await jobs.transitions.claim(job.id, "one", NOW + 2, LEASE)
    assert claim.is_first
    assert (claim.job.status, claim.job.revision, claim.job.sent_at) == ("running", 3, NOW + 1)
    assert (claim.job.attempts, claim.job.started_at) == (1, NOW + 2)
    assert (claim.job.lease_owner, claim.job.lease_until) == ("one", NOW + 2 + LEASE)
    renewal = await jobs.transitions.renew(job.id, "one", NOW + 3, LEASE, 0.5)
    assert not renewal.cancel_requested
    half = await jobs.get(job.id)
    assert (half.progress, half.lease_until) == (0.5, NOW + 3 + LEASE)
    assert await jobs.transitions.succeed(job.id, "one", NOW + 4, RESULT, {"forward": 1.5})
    job = await jobs.get(job.id)
    assert (job.status, job.revision, job.progress) == ("succeeded", 5, 1)
    assert (job.result, job.seconds, job.problem) == (RESULT, {"forward": 1.5}, None)
    assert (job.finished_at, job.lease_until) == (NOW + 4, None)


async def test_a_leased_job_cannot_be_claimed(jobs):
    """Nor can one that has ended."""
    job = await claimed(jobs, "one")
    assert await jobs.transitions.claim(job.id, "two", NOW + LEASE - 1, LEASE) is None
    assert await jobs.transitions.succeed(job.id, "one", NOW, RESULT, {})
    assert await jobs.transitions.claim(job.id, "two", NOW + 2 * LEASE, LEASE) is None


async def test_a_lapsed_lease_can_be_claimed_and_is_lost_to_its_old_owner(jobs):
    """Whatever the old owner does then changes nothing."""
    job = await claimed(jobs, "one")
    later = NOW + LEASE
    taken = await jobs.transitions.claim(job.id, "two", later, LEASE)
    assert not taken.is_first
    assert (taken.job.attempts, taken.job.started_at, taken.job.lease_owner) == (2, NOW, "two")
    assert await jobs.transitions.renew(job.id, "one", later, LEASE, 0.9) is None
    assert not await jobs.transitions.succeed(job.id, "one", later, RESULT, {})
    assert not await jobs.transitions.fail(job.id, "one", later, PROBLEM)
    assert not await jobs.transitions.finish_cancelled(job.id, "one", later)
    assert not await jobs.transitions.release(job.id, "one", later, later, PROBLEM)
    assert await jobs.get(job.id) == taken.job
    assert await jobs.transitions.fail(job.id, "two", later, PROBLEM)


async def test_a_lapsed_lease_that_nobody_claimed_can_be_renewed(jobs):
    """A worker that was slow keeps its job."""
    job = await claimed(jobs)
    assert await jobs.transitions.renew(job.id, "one", NOW + 3 * LEASE, LEASE, 0.9)
    assert await jobs.transitions.claim(job.id, "two", NOW + 3 * LEASE, LEASE) is None


async def test_a_claim_whose_answer_was_lost_can_be_repeated_by_the_same_run(jobs):
    """It costs no second attempt; another run cannot."""
    job = await claimed(jobs)
    again = await jobs.transitions.claim(job.id, "one", NOW + 1, LEASE)
    assert again.job.attempts == 1
    assert await jobs.transitions.claim(job.id, "two", NOW + 1, LEASE) is None


@pytest.mark.parametrize("counted", [True, False])
async def test_only_the_claim_that_starts_a_job_is_its_first(jobs, counted):
    """Even at the same time, by the clock, and if its first attempt was not counted."""
    job = await added(jobs)
    assert (await jobs.transitions.claim(job.id, "one", NOW, LEASE)).is_first
    assert await jobs.transitions.release(job.id, "one", NOW, NOW, counted=counted)
    again = await jobs.transitions.claim(job.id, "two", NOW, LEASE)
    assert not again.is_first
    assert again.job.attempts == 1 + counted


async def test_a_released_job_waits_for_its_time(jobs):
    """It keeps the problem of the last run until it succeeds."""
    job = await claimed(jobs)
    await jobs.transitions.mark_sent(job.id, NOW)
    assert await jobs.transitions.release(job.id, "one", NOW + 1, NOW + 5, PROBLEM)
    job = await jobs.get(job.id)
    assert (job.status, job.sent_at, job.problem) == ("accepted", None, PROBLEM)
    assert (job.lease_owner, job.lease_until, job.finished_at) == (None, None, None)
    assert await jobs.transitions.claim(job.id, "two", NOW + 4, LEASE) is None
    assert await jobs.queries.due(NOW + 4, 10) == []
    assert [due.id for due in await jobs.queries.due(NOW + 5, 10)] == [job.id]
    again = await jobs.transitions.claim(job.id, "two", NOW + 5, LEASE)
    assert (again.job.attempts, again.job.retry_at) == (2, None)
    assert await jobs.transitions.succeed(job.id, "two", NOW + 6, RESULT, {})
    assert (await jobs.get(job.id)).problem is None


async def test_cancelling(jobs):
    """A waiting job at once, a running one through its worker; only the first call changes it."""
    waiting = await added(jobs)
    cancelled = await jobs.transitions.cancel(waiting.id, NOW + 1)
    assert (cancelled.status, cancelled.finished_at) == ("cancelled", NOW + 1)
    assert await jobs.transitions.cancel(waiting.id, NOW + 1) is None
    assert await jobs.get(waiting.id) == cancelled
    assert await jobs.transitions.claim(waiting.id, "one", NOW + 9, LEASE) is None

    running = await claimed(jobs)
    requested = await jobs.transitions.cancel(running.id, NOW + 1)
    assert (requested.status, requested.cancel_requested) == ("running", True)
    assert requested.finished_at is None
    assert await jobs.transitions.cancel(running.id, NOW + 2) is None
    renewal = await jobs.transitions.renew(running.id, "one", NOW + 2, LEASE, 0.5)
    assert renewal.cancel_requested
    assert await jobs.transitions.finish_cancelled(running.id, "one", NOW + 3)
    ended = await jobs.get(running.id)
    assert (ended.status, ended.finished_at) == ("cancelled", NOW + 3)
    assert await jobs.transitions.cancel("0" * 32, NOW) is None


async def test_a_job_whose_cancellation_is_requested_does_not_run_again(jobs):
    """Its release cancels it; a claim after its worker's death says so."""
    released, lapsed = await claimed(jobs), await claimed(jobs)
    for job in (released, lapsed):
        await jobs.transitions.cancel(job.id, NOW)
    assert await jobs.transitions.release(released.id, "one", NOW + 1, NOW + 5, PROBLEM)
    ended = await jobs.get(released.id)
    assert (ended.status, ended.finished_at, ended.retry_at) == ("cancelled", NOW + 1, None)
    taken = await jobs.transitions.claim(lapsed.id, "two", NOW + LEASE, LEASE)
    assert taken.job.cancel_requested


async def test_a_job_whose_worker_died_is_cancelled_at_once(jobs):
    """Whether it is requested before or after its lease lapses: no worker would do it."""
    before, after = await claimed(jobs), await claimed(jobs)
    assert (await jobs.transitions.cancel(before.id, NOW + 1)).status == "running"
    assert await jobs.transitions.cancel_lapsed(NOW + 1) == []
    assert await jobs.transitions.cancel_lapsed(NOW + LEASE) == ["shade"]
    ended = await jobs.get(before.id)
    assert (ended.status, ended.finished_at) == ("cancelled", NOW + LEASE)
    cancelled = await jobs.transitions.cancel(after.id, NOW + LEASE)
    assert (cancelled.status, cancelled.finished_at) == ("cancelled", NOW + LEASE)
    assert not await jobs.transitions.succeed(after.id, "one", NOW + LEASE, RESULT, {})


async def test_a_failed_job_can_be_retried_while_it_has_its_files(jobs):
    """From its first attempt; no other job can."""
    job = await claimed(jobs)
    assert await jobs.transitions.retry(job.id, NOW) is None
    assert await jobs.transitions.fail(job.id, "one", NOW + 1, PROBLEM)
    reset = await jobs.transitions.retry(job.id, NOW + 2)
    assert (reset.status, reset.attempts, reset.problem) == ("accepted", 0, None)
    assert (reset.started_at, reset.finished_at, reset.retry_at) == (NOW, None, NOW + 2)
    assert await jobs.transitions.claim(job.id, "two", NOW + 2, LEASE)
    assert await jobs.transitions.fail(job.id, "two", NOW + 3, PROBLEM)
    assert not await jobs.transitions.begin_file_deletion(job.id, NOW + 3)
    assert await jobs.transitions.begin_file_deletion(job.id, NOW + 4)
    assert await jobs.transitions.retry(job.id, NOW + 5) is None
    assert [left.id for left in await jobs.queries.ended_with_files(NOW + 4, 9)] == [job.id]
    await jobs.transitions.mark_files_deleted(job.id, NOW + 4)
    assert await jobs.transitions.retry(job.id, NOW + 5) is None
    assert await jobs.queries.ended_with_files(NOW + 4, 9) == []


async def test_the_files_of_a_job_that_was_retried_are_not_deleted(jobs):
    """A sweep that found it before must not."""
    job = await claimed(jobs)
    assert await jobs.transitions.fail(job.id, "one", NOW + 1, PROBLEM)
    assert [left.id for left in await jobs.queries.ended_with_files(NOW + 2, 9)] == [job.id]
    assert await jobs.transitions.retry(job.id, NOW + 2)
    assert not await jobs.transitions.begin_file_deletion(job.id, NOW + 2)
