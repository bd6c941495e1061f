"""Invariants of a job's row, under any sequence of transitions."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from project.db.engine import open_database
from project.db.records import Job
from tests.database import (
    LEASE,
    NOW,
    PROBLEM,
    RESULT,
    Jobs,
    added,
    create_tables,
    database_settings,
    sqlite_url,
)

ENDED = {"succeeded", "failed", "cancelled"}
BY_OWNER = ["claim", "renew", "succeed", "fail", "finish_cancelled", "release"]
BY_ANYONE = ["cancel", "retry", "mark_sent", "mark_files_deleted"]

transitions = st.lists(
    st.tuples(
        st.sampled_from(BY_OWNER + BY_ANYONE), st.sampled_from("ab"), st.sampled_from([0, 1, 30])
    ),
    min_size=5,
    max_size=25,
)


@dataclass
class History:
    """One job, and the owner of its lease as the answers tell it."""

    jobs: Jobs
    job: Job
    now: float = NOW
    holder: str | None = None

    async def attempt(self, name: str, owner: str, pause: float) -> None:
        """Attempt a transition and check every invariant."""
        self.now += pause
        before = self.job
        answer = await self._call(name, owner)
        job = await self.jobs.get(before.id)
        changed = job.revision - before.revision
        assert changed in {0, 1}
        assert (job == before) is not bool(changed)
        if name in BY_OWNER:
            assert bool(answer) is bool(changed)
            if name != "claim" and answer:
                assert (before.status, self.holder) == ("running", owner)
        if name == "claim" and answer:
            ours = (before.status, before.lease_owner) == ("running", owner)
            lapsed = (before.lease_until or 0) <= self.now
            assert before.status == "accepted" or lapsed or ours
            assert answer.is_first is (before.started_at is None)
            self.holder = owner
        if name in {"cancel", "retry"}:
            assert answer == (job if changed else None)
        self.job = job
        self._check(before, name)

    def _check(self, before: Job, name: str) -> None:
        job = self.job
        assert (job.finished_at is not None) == (job.status in ENDED)
        running = job.status == "running"
        assert (job.lease_until is not None) == running
        assert job.lease_owner is None or job.status != "accepted"
        assert not running or job.lease_owner == self.holder
        assert job.retry_at is None or job.status == "accepted"
        assert (job.result is not None) == (job.status == "succeeded") == (job.progress == 1)
        if before.status in ENDED and name != "retry":
            assert replace(job, revision=0, files_deleted_at=None) == replace(
                before, revision=0, files_deleted_at=None
            )
        if job.files_deleted_at is not None:
            assert job.status in ENDED

    async def _call(self, name: str, owner: str) -> object:
        transitions, held = self.jobs.transitions, (self.job.id, owner, self.now)
        by_owner = {
            "claim": lambda: transitions.claim(*held, LEASE),
            "renew": lambda: transitions.renew(*held, LEASE, 0.5),
            "succeed": lambda: transitions.succeed(*held, RESULT, {}),
            "fail": lambda: transitions.fail(*held, PROBLEM),
            "finish_cancelled": lambda: transitions.finish_cancelled(*held),
            "release": lambda: transitions.release(*held, self.now + 10, PROBLEM),
        }
        if name in by_owner:
            return await by_owner[name]()
        return await getattr(transitions, name)(self.job.id, self.now)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Jobs]]:
    """An event loop, and the jobs of one database for all examples."""
    settings = database_settings(sqlite_url(tmp_path_factory.mktemp("invariants")))
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        runner.run(create_tables(settings))
        engine = runner.run(stack.enter_async_context(open_database(settings)))
        yield runner, Jobs.of(engine)
        runner.run(stack.aclose())


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(transitions=transitions)
def test_a_row_never_contradicts_itself(database: tuple[asyncio.Runner, Jobs], transitions):
    """One owner at most, no change after the end, and the answer tells whether the row changed."""
    runner, jobs = database

    async def run() -> None:
        history = History(jobs, await added(jobs))
        for name, owner, pause in transitions:
            await history.attempt(name, owner, pause)

    runner.run(run())
