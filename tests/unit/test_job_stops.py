"""What stops a run: a cancellation, the time limit, a lost lease, a worker that drains."""

import asyncio
import signal
import time

import pytest
from prometheus_client import REGISTRY

from project.errors import DatabaseUnavailable
from project.jobs.execution import ExecutionBounds
from tests.job_worker import TurnModel, first_step, job_worker

pytestmark = pytest.mark.anyio


async def test_a_cancel_takes_effect_within_one_step(tmp_path):
    """The generator is closed, and nothing is stored."""
    model = TurnModel(count=1000)
    async with job_worker(tmp_path, model, job_lease_seconds=0.2) as worker:
        job_id = await worker.submit()
        model.resume.clear()
        running = asyncio.create_task(worker.executor.run(job_id))
        await first_step(model, running)
        job = await worker.transitions.cancel(job_id, time.time())
        assert (job.status, job.cancel_requested) == ("running", True)
        seen = (await worker.job(job_id)).lease_until
        await worker.wait_for(job_id, lambda row: row.lease_until != seen)  # the lease was renewed
        model.resume.set()
        await running
        job = await worker.job(job_id)
        assert (job.status, job.result, model.closed) == ("cancelled", None, 1)


async def test_a_job_cancelled_before_it_runs_never_does(tmp_path):
    """Its message arrives all the same."""
    model = TurnModel()
    async with job_worker(tmp_path, model) as worker:
        job_id = await worker.submit()
        await worker.transitions.cancel(job_id, time.time())
        await worker.executor.run(job_id)
        assert ((await worker.job(job_id)).status, model.runs) == ("cancelled", 0)


async def test_a_job_ends_at_its_time_limit(tmp_path):
    """At the next step; another run would take as long, so it is not retried."""
    model = TurnModel()
    async with job_worker(tmp_path, model, job_seconds=0.05) as worker:
        job_id = await worker.submit()
        model.resume.clear()
        running = asyncio.create_task(worker.executor.run(job_id))
        await first_step(model, running)
        await asyncio.sleep(0.05)
        model.resume.set()
        await running
        job = await worker.job(job_id)
        assert (job.status, job.problem["type"]) == ("failed", "urn:vitrine:problem:job-too-long")
        assert "0.05 s" in job.problem["detail"]


async def test_a_step_that_hangs_fails_the_job_and_terminates_its_worker(tmp_path):
    """Nothing can end a thread, so the process ends; its supervisor starts another."""
    model = TurnModel()
    model.resume.clear()
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    bounds = ExecutionBounds(hang_seconds=0.0)
    async with job_worker(tmp_path, model, bounds=bounds, job_seconds=0.1) as worker:
        job_id = await worker.submit()
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert (job.status, job.problem["type"]) == ("failed", "urn:vitrine:problem:job-too-long")
        await terminated.wait()
        model.resume.set()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


async def test_a_run_that_lost_its_lease_changes_nothing(tmp_path):
    """A frozen worker thaws after another has claimed its job."""
    model = TurnModel(count=1000)
    async with job_worker(tmp_path, model, job_lease_seconds=60) as worker:
        job_id = await worker.submit()
        model.resume.clear()
        frozen = asyncio.create_task(worker.executor.run(job_id))
        await first_step(model, frozen)
        later = time.time() + 61
        assert await worker.transitions.claim(job_id, "another", later, 60)
        result = {"key": "jobs/other/results/2", "media_type": "image/png", "size": 1}
        assert await worker.transitions.succeed(job_id, "another", later, result, {})
        model.resume.set()
        await frozen
        job = await worker.job(job_id)
        assert (job.status, job.result) == ("succeeded", result)


async def test_a_worker_without_its_database_goes_on(tmp_path, monkeypatch):
    """No other can claim the job meanwhile; it succeeds at the first attempt."""
    model = TurnModel()
    model.resume.clear()
    async with job_worker(tmp_path, model, job_lease_seconds=0.1) as worker:
        job_id = await worker.submit()
        tried = asyncio.Event()

        async def gone(*_):
            tried.set()
            raise DatabaseUnavailable("gone")

        monkeypatch.setattr(worker.transitions, "renew", gone)
        running = asyncio.create_task(worker.executor.run(job_id))
        await tried.wait()
        await worker.wait_for(job_id, lambda row: row.lease_until < time.time())
        model.resume.set()
        await running
        job = await worker.job(job_id)
        assert (job.status, job.attempts) == ("succeeded", 1)


async def test_an_outcome_whose_answer_was_lost_is_counted_once(tmp_path, monkeypatch):
    """The row was changed, then the connection broke; the second attempt finds it changed."""
    bounds = ExecutionBounds(database_retry_seconds=0.01)
    async with job_worker(tmp_path, TurnModel(), bounds=bounds) as worker:
        job_id = await worker.submit()
        succeed, calls = worker.transitions.succeed, []

        async def lost(*arguments):
            calls.append(await succeed(*arguments))
            if len(calls) == 1:
                raise DatabaseUnavailable("the answer is lost")
            return calls[-1]

        monkeypatch.setattr(worker.transitions, "succeed", lost)
        labels = {"model": "turn", "outcome": "succeeded"}
        before = REGISTRY.get_sample_value("jobs_total", labels)
        await worker.executor.run(job_id)
        assert calls == [True, False]
        assert REGISTRY.get_sample_value("jobs_total", labels) == before + 1


async def test_a_worker_that_drains_releases_its_job_at_once(tmp_path):
    """A deploy costs the job no attempt, and it goes to the front of the queue."""
    model = TurnModel(count=1000)
    async with job_worker(tmp_path, model) as worker:
        job_id = await worker.submit()
        model.resume.clear()
        running = asyncio.create_task(worker.executor.run(job_id))
        await first_step(model, running)
        worker.executor.drain()
        model.resume.set()
        await running
        job = await worker.job(job_id)
        assert (job.status, job.attempts, job.problem) == ("accepted", 0, None)
        assert (worker.queue.sent_first, worker.queue.sent) == ([job_id], [])
        await worker.executor.run(job_id)
        assert (await worker.job(job_id)).status == "accepted"  # it claims no job now


async def test_progress_is_stored_while_the_job_runs(tmp_path):
    """With each renewal of the lease."""
    model = TurnModel(count=4)
    async with job_worker(tmp_path, model, job_lease_seconds=0.2) as worker:
        job_id = await worker.submit()
        model.resume.clear()
        running = asyncio.create_task(worker.executor.run(job_id))
        await first_step(model, running)
        job = await worker.wait_for(job_id, lambda row: row.progress > 0)
        assert 0 < job.progress < 1
        model.resume.set()
        await running
        assert (await worker.job(job_id)).progress == 1
