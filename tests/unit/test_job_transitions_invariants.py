"""Whatever happens to a job, in whatever order: what its row says stays true."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from project.db.engine import open_database
from project.db.job_transitions import Job, JobTransitions
from project.db.migrate import upgrade
from tests.database import LEASE, NOW, PROBLEM, RESULT, added, database_settings, sqlite_url

ENDED = {"succeeded", "failed", "cancelled"}
BY_OWNER = ["claim", "renew", "succeed", "fail", "cancelled", "release"]
BY_ANYONE = ["cancel", "retry", "mark_sent", "files_deleted"]

steps = st.lists(
    st.tuples(
        st.sampled_from(BY_OWNER + BY_ANYONE), st.sampled_from("ab"), st.sampled_from([0, 1, 30])
    ),
    min_size=5,
    max_size=25,
)


@dataclass
class Story:
    """One job, what was done with it, and who holds it as far as can be known from outside."""

    jobs: JobTransitions
    job: Job
    now: float = NOW
    holder: str | None = None

    async def step(self, what: str, owner: str, pause: float) -> None:
        """Do one thing and check all that must hold after it."""
        self.now += pause
        before = self.job
        answer = await self._do(what, owner)
        job = await self.jobs.get(before.id)
        assert job is not None
        changed = job.revision - before.revision
        assert changed in {0, 1}
        assert (job == before) is not bool(changed)
        if what in BY_OWNER:
            assert bool(answer) is bool(changed)
            if what != "claim" and answer:
                assert (before.status, self.holder) == ("running", owner)
        if what == "claim" and answer:
            ours = (before.status, before.lease_owner) == ("running", owner)
            lapsed = (before.lease_until or 0) <= self.now
            assert before.status == "accepted" or lapsed or ours
            self.holder = owner
        self.job = job
        self._check(before, what)

    def _check(self, before: Job, what: str) -> None:
        job = self.job
        assert (job.finished_at is not None) == (job.status in ENDED)
        running = job.status == "running"
        assert (job.lease_until is not None) == running
        assert job.lease_owner is None or job.status != "accepted"
        assert not running or job.lease_owner == self.holder
        assert job.retry_at is None or job.status == "accepted"
        assert (job.result is not None) == (job.status == "succeeded") == (job.progress == 1)
        if before.status in ENDED and what != "retry":
            assert replace(job, revision=0, files_deleted_at=None) == replace(
                before, revision=0, files_deleted_at=None
            )
        if job.files_deleted_at is not None:
            assert job.status in ENDED

    async def _do(self, what: str, owner: str) -> object:
        jobs, held = self.jobs, (self.job.id, owner, self.now)
        by_owner = {
            "claim": lambda: jobs.claim(*held, LEASE),
            "renew": lambda: jobs.renew(*held, LEASE, 0.5),
            "succeed": lambda: jobs.succeed(*held, RESULT, {}),
            "fail": lambda: jobs.fail(*held, PROBLEM),
            "cancelled": lambda: jobs.cancelled(*held),
            "release": lambda: jobs.release(*held, self.now + 10, PROBLEM),
        }
        if what in by_owner:
            return await by_owner[what]()
        return await getattr(jobs, what)(self.job.id, self.now)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("invariants")
    asyncio.run(upgrade(database_settings(sqlite_url(made))))
    return made


@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_a_row_never_contradicts_itself(folder: Path, steps):
    """One holder at most, ended is ended, and a change is counted exactly where it was made."""

    async def test() -> None:
        async with open_database(database_settings(sqlite_url(folder))) as engine:
            jobs = JobTransitions(engine)
            story = Story(jobs, await added(jobs))
            for what, owner, pause in steps:
                await story.step(what, owner, pause)

    asyncio.run(test())
