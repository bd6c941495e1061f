"""Executing a job once: its outcomes, and that each is recorded once."""

import asyncio
import io
import json
import time

import pytest
from PIL import Image

from project.errors import DatabaseUnavailable, InvalidInput
from project.jobs.execution import ExecutionBounds
from tests.conftest import picture
from tests.fakes import ShadeModel
from tests.job_worker import TurnModel, first_step, job_worker

pytestmark = pytest.mark.anyio
RETRY_SOON = ExecutionBounds(database_retry_seconds=0.01)


async def test_a_job_succeeds_with_its_result_in_the_storage(tmp_path):
    """The row names the result and how long each stage took."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit(degrees=90)
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert (job.status, job.progress, job.attempts) == ("succeeded", 1.0, 1)
        assert job.problem is None
        assert set(job.seconds) == {"queue", "decode", "forward", "postprocess"}
        assert job.lease_until is None
        data = await worker.storage.get(job.result["key"])
        assert Image.open(io.BytesIO(data)).size == (32, 32)
        assert (job.result["media_type"], job.result["size"]) == ("image/png", len(data))


async def test_a_quick_model_runs_as_a_job_too(tmp_path):
    """Its result is the JSON that a prediction would give."""
    async with job_worker(tmp_path, ShadeModel()) as worker:
        job_id = await worker.submit("shade")
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert job.status == "succeeded"
        result = json.loads(await worker.storage.get(job.result["key"]))
        assert result == {"label": "light", "brightness": 255.0}


async def test_a_second_delivery_does_nothing(tmp_path):
    """While the first runs, and after it."""
    model = TurnModel()
    model.resume.clear()
    async with job_worker(tmp_path, model) as worker:
        job_id = await worker.submit()
        first = asyncio.create_task(worker.executor.run(job_id))
        await first_step(model, first)
        await worker.executor.run(job_id)
        assert not first.done()
        model.resume.set()
        await first
        await worker.executor.run(job_id)
        assert (model.runs, (await worker.job(job_id)).attempts) == (1, 1)


async def test_an_unknown_id_does_nothing(tmp_path):
    """A row may be deleted before its message arrives."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        await worker.executor.run("0" * 32)
        assert await worker.queries.page(1) == []


@pytest.mark.parametrize("error", [InvalidInput("too dark"), None], ids=["model", "decoder"])
async def test_a_bad_input_fails_at_once(tmp_path, error):
    """Another run would fail again; the row has a problem document that says what to do."""
    model = TurnModel()
    model.error = error
    async with job_worker(tmp_path, model) as worker:
        job_id = await worker.submit(data=picture() if error else b"no picture")
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert (job.status, job.attempts, job.result) == ("failed", 1, None)
        assert job.problem["status"] == 422
        assert job.problem["type"].startswith("urn:vitrine:problem:invalid-")
        assert worker.queue.sent == []


async def test_parameters_of_another_release_fail_at_once(tmp_path):
    """A job may wait while a deploy changes its model."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit(speed=3)
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert job.status == "failed"
        assert "send it again" in job.problem["detail"]


async def test_a_failure_is_retried_with_growing_pauses_and_then_fails_the_job(tmp_path):
    """Three retries; clients see nothing of the model's error."""
    model = TurnModel()
    model.error = RuntimeError("secret words")
    async with job_worker(tmp_path, model) as worker:
        job_id = await worker.submit()
        for attempt in (1, 2, 3):
            await worker.executor.run(job_id)
            job = await worker.job(job_id)
            assert (job.status, job.attempts) == ("accepted", attempt)
            await asyncio.sleep(max(0.0, job.retry_at - time.time()))
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert (job.status, job.attempts) == ("failed", 4)
        assert job.problem["type"] == "urn:vitrine:problem:model-failed"
        assert "secret" not in json.dumps(job.problem)
        assert worker.queue.delays == [0.01, 0.02, 0.04]


async def test_a_job_that_kills_its_workers_dies_after_its_attempts(tmp_path):
    """No worker lived to record a failure, so the run after the last attempt does."""
    model = TurnModel()
    async with job_worker(tmp_path, model) as worker:
        job_id = await worker.submit()
        for attempt in range(4):  # four workers, each of which dies
            assert await worker.transitions.claim(
                job_id, f"worker {attempt}", attempt * 10.0 + 1e9, 5
            )
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert (job.status, model.runs) == ("failed", 0)
        assert "workers died" in job.problem["detail"]


async def test_an_unavailable_storage_costs_no_attempt(tmp_path):
    """The job succeeds when it is back, however many runs that takes."""
    model = TurnModel()
    async with job_worker(tmp_path, model) as worker:
        job_id = await worker.submit()
        folder = tmp_path / "storage"
        folder.rename(tmp_path / "away")
        folder.write_text("a file where the folder was")
        for _ in range(6):
            await worker.executor.run(job_id)
            job = await worker.job(job_id)
            assert (job.status, job.attempts) == ("accepted", 0)
            assert job.problem["type"] == "urn:vitrine:problem:storage-unavailable"
            await asyncio.sleep(0.02)
        folder.unlink()
        (tmp_path / "away").rename(folder)
        await worker.executor.run(job_id)
        assert (await worker.job(job_id)).status == "succeeded"


async def test_deleted_inputs_fail_the_job(tmp_path):
    """Another run would not find them either."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit()
        await worker.storage.delete(f"jobs/{job_id}/inputs/image")
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert (job.status, job.problem["status"]) == ("failed", 404)


@pytest.mark.parametrize("there", [True, False], ids=["not loaded", "unknown here"])
async def test_a_worker_without_the_model_leaves_its_jobs_to_others(tmp_path, there):
    """During a deploy only some workers know a model."""
    model = TurnModel()
    model.load_error = OSError("no weights")
    async with job_worker(tmp_path, *([model] if there else [])) as worker:
        job_id = await worker.submit()
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert (job.status, job.attempts) == ("accepted", 0)


async def test_an_unavailable_broker_leaves_the_retry_to_the_sweep(tmp_path):
    """The row says that no message was sent."""
    model = TurnModel()
    model.error = RuntimeError("once")
    async with job_worker(tmp_path, model) as worker:
        job_id = await worker.submit()
        worker.queue.down = True
        await worker.executor.run(job_id)
        job = await worker.job(job_id)
        assert (job.status, job.sent_at) == ("accepted", None)


async def test_recording_an_outcome_waits_for_the_database(tmp_path, monkeypatch):
    """The result is stored already."""
    async with job_worker(tmp_path, TurnModel(), bounds=RETRY_SOON) as worker:
        job_id = await worker.submit()
        succeed, failures = worker.transitions.succeed, iter(range(3))

        async def late(*arguments):
            if next(failures, None) is not None:
                raise DatabaseUnavailable("gone")
            return await succeed(*arguments)

        monkeypatch.setattr(worker.transitions, "succeed", late)
        await worker.executor.run(job_id)
        assert (await worker.job(job_id)).status == "succeeded"
