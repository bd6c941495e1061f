"""What ends a run between two steps: a cancel, the time limit, a lost lease, a leaving worker."""

import asyncio
import time

import pytest

from project.errors import DatabaseUnavailable
from project.observability import metrics
from tests.workshop import TurnModel, workshop

pytestmark = pytest.mark.anyio


async def test_a_cancel_takes_effect_within_one_step(tmp_path):
    """The generator is closed, and nothing is stored."""
    model = TurnModel(count=1000)
    async with workshop(tmp_path, model, job_lease_seconds=0.2) as shop:
        job_id = await shop.submit()
        model.go_on.clear()
        running = asyncio.create_task(shop.runs.run(job_id))
        await asyncio.to_thread(model.stepped.wait)
        job = await shop.jobs.cancel(job_id, time.time())
        assert (job.status, job.cancel_requested) == ("running", True)
        seen = (await shop.job(job_id)).lease_until
        await shop.until(job_id, lambda row: row.lease_until != seen)  # the watch has looked
        model.go_on.set()
        await running
        job = await shop.job(job_id)
        assert (job.status, job.result, model.closed) == ("cancelled", None, 1)


async def test_a_job_cancelled_before_it_runs_never_does(tmp_path):
    """Its message comes all the same."""
    model = TurnModel()
    async with workshop(tmp_path, model) as shop:
        job_id = await shop.submit()
        await shop.jobs.cancel(job_id, time.time())
        await shop.runs.run(job_id)
        assert ((await shop.job(job_id)).status, model.runs) == ("cancelled", 0)


async def test_a_job_ends_at_its_time_limit(tmp_path):
    """At the next step after it; it would take as long again, so it is not tried again."""
    model = TurnModel()
    async with workshop(tmp_path, model, job_seconds=0.05) as shop:
        job_id = await shop.submit()
        model.go_on.clear()
        running = asyncio.create_task(shop.runs.run(job_id))
        await asyncio.to_thread(model.stepped.wait)
        await asyncio.sleep(0.05)
        model.go_on.set()
        await running
        job = await shop.job(job_id)
        assert (job.status, job.problem["type"]) == ("failed", "urn:vitrine:problem:job-too-long")
        assert "0.05 s" in job.problem["detail"]


async def test_a_step_that_hangs_fails_the_job_and_ends_its_worker(tmp_path, monkeypatch):
    """Nothing can end a thread, so the process has to go; its supervisor starts another."""
    model = TurnModel()
    model.go_on.clear()
    killed = []
    monkeypatch.setattr("project.jobs.execution.HANGING_SECONDS", 0.0)
    monkeypatch.setattr("project.jobs.execution.os.kill", lambda pid, number: killed.append(number))
    async with workshop(tmp_path, model, job_seconds=0.2) as shop:
        job_id = await shop.submit()
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert (job.status, job.problem["type"]) == ("failed", "urn:vitrine:problem:job-too-long")
        assert len(killed) == 1
        model.go_on.set()


async def test_a_run_that_lost_its_lease_changes_nothing(tmp_path):
    """A worker that was frozen wakes up after another has taken its job."""
    model = TurnModel(count=1000)
    async with workshop(tmp_path, model, job_lease_seconds=60) as shop:
        job_id = await shop.submit()
        model.go_on.clear()
        frozen = asyncio.create_task(shop.runs.run(job_id))
        await asyncio.to_thread(model.stepped.wait)
        later = time.time() + 61
        assert await shop.jobs.claim(job_id, "another", later, 60)
        result = {"key": "jobs/other/results/2", "media_type": "image/png", "size": 1}
        assert await shop.jobs.succeed(job_id, "another", later, result, {})
        model.go_on.set()
        await frozen
        job = await shop.job(job_id)
        assert (job.status, job.result) == ("succeeded", result)


async def test_a_worker_without_its_database_goes_on(tmp_path, monkeypatch):
    """Nobody else can claim the job meanwhile; it succeeds at the first attempt."""
    model = TurnModel()
    model.go_on.clear()
    async with workshop(tmp_path, model, job_lease_seconds=0.1) as shop:
        job_id = await shop.submit()
        tried = asyncio.Event()

        async def gone(*_):
            tried.set()
            raise DatabaseUnavailable("gone")

        monkeypatch.setattr(shop.jobs, "renew", gone)
        running = asyncio.create_task(shop.runs.run(job_id))
        await tried.wait()
        await shop.until(job_id, lambda row: row.lease_until < time.time())
        model.go_on.set()
        await running
        job = await shop.job(job_id)
        assert (job.status, job.attempts) == ("succeeded", 1)


async def test_an_end_whose_answer_was_lost_is_counted_once(tmp_path, monkeypatch):
    """The database wrote it, then the connection broke; asked again, it says that it is written."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit()
        monkeypatch.setattr("project.jobs.outage.PAUSE_SECONDS", 0.01)
        succeed, calls = shop.jobs.succeed, []

        async def lost(*arguments):
            calls.append(await succeed(*arguments))
            if len(calls) == 1:
                raise DatabaseUnavailable("the answer is lost")
            return calls[-1]

        monkeypatch.setattr(shop.jobs, "succeed", lost)
        counted = metrics.JOBS.labels("turn", "succeeded")
        before = counted._value.get()
        await shop.runs.run(job_id)
        assert calls == [True, False]
        assert counted._value.get() == before + 1


async def test_a_worker_that_leaves_gives_its_job_back_at_once(tmp_path):
    """A deploy costs the job none of its attempts, and it waits for nobody."""
    model = TurnModel(count=1000)
    async with workshop(tmp_path, model) as shop:
        job_id = await shop.submit()
        model.go_on.clear()
        running = asyncio.create_task(shop.runs.run(job_id))
        await asyncio.to_thread(model.stepped.wait)
        shop.runs.leave()
        model.go_on.set()
        await running
        job = await shop.job(job_id)
        assert (job.status, job.attempts, job.problem) == ("accepted", 0, None)
        assert shop.sender.sent == [(job_id, 0)]
        assert shop.sender.first == [job_id]  # its turn had come
        await shop.runs.run(job_id)
        assert (await shop.job(job_id)).status == "accepted"  # it claims no other


async def test_progress_is_written_while_it_runs_and_never_falls(tmp_path):
    """About once a second, not at each step."""
    model = TurnModel(count=4)
    async with workshop(tmp_path, model, job_lease_seconds=0.2) as shop:
        job_id = await shop.submit()
        model.go_on.clear()
        running = asyncio.create_task(shop.runs.run(job_id))
        await asyncio.to_thread(model.stepped.wait)
        job = await shop.until(job_id, lambda row: row.progress > 0)
        assert 0 < job.progress < 1
        model.go_on.set()
        await running
        assert (await shop.job(job_id)).progress == 1
