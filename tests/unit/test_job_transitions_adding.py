"""Adding jobs: what is put in comes out, and the same question is asked once."""

from collections.abc import Awaitable, Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError, StatementError

from project.db.job_transitions import IdempotencyConflict, Job, JobTransitions, new_id
from project.db.tables import JobRow
from tests.database import (
    HOSTILE,
    LEASE,
    NOW,
    added,
    database_settings,
    new_job,
    run_jobs,
    sqlite_url,
)

Run = Callable[[Callable[[JobTransitions], Awaitable[None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a test on a new database."""
    return partial(run_jobs, database_settings(sqlite_url(tmp_path)))


def test_what_is_put_in_comes_out(run):
    """Any text that JSON can hold, empty or hostile; and every column is a field of Job."""
    new = new_job(NOW, **HOSTILE)

    async def test(jobs: JobTransitions) -> None:
        job, _ = await jobs.add(new)
        assert job == await jobs.get(new.id)
        assert {name: getattr(job, name) for name in vars(new)} == vars(new)
        assert [field.name for field in fields(Job)] == JobRow.__table__.columns.keys()
        assert await jobs.get("0" * 32) is None

    run(test)


def test_a_number_that_json_has_not_is_refused(run):
    """PostgreSQL would refuse it; SQLite shall not take it alone."""

    async def test(jobs: JobTransitions) -> None:
        with pytest.raises(StatementError, match="JSON"):
            await jobs.add(new_job(params={"guidance": float("nan")}))
        assert await jobs.page(10) == []

    run(test)


def test_no_error_shows_what_callers_sent(run):
    """It may end in a log; only a bug of ours leads there, such as the same id twice."""

    async def test(jobs: JobTransitions) -> None:
        new = new_job(params={"prompt": "private"})
        await jobs.add(new)
        with pytest.raises(IntegrityError) as refused:
            await jobs.add(new)
        assert "private" not in str(refused.value)

    run(test)


def test_the_same_idempotency_key_gives_the_same_job(run):
    """As it is by then; for another question the key is refused."""

    async def test(jobs: JobTransitions) -> None:
        first = await added(jobs, idempotency_key="key")
        await jobs.claim(first.id, "one", NOW, LEASE)
        again, created = await jobs.add(new_job(idempotency_key="key"))
        assert not created
        assert again == await jobs.get(first.id)
        with pytest.raises(IdempotencyConflict, match="another key") as refused:
            await jobs.add(new_job(idempotency_key="key", fingerprint="0" * 64))
        assert refused.value.status == 422
        await added(jobs, idempotency_key="other")
        assert len({(await added(jobs)).id for _ in range(3)}) == 3  # none is no key
        assert sum((await jobs.counts()).values()) == 5

    run(test)


def test_ids_sort_by_the_time_of_creation():
    """So that they page; and two of one moment differ."""
    ids = [new_id(NOW + second / 1000) for second in range(1000)]
    assert ids == sorted(ids)
    assert len({new_id(NOW) for _ in range(1000)}) == 1000
    assert {len(one) for one in ids} == {32}
