"""One run of a job: what becomes of it, and that it becomes that once."""

import asyncio
import io
import json
import time

import pytest
from PIL import Image

from project.errors import DatabaseUnavailable, InvalidInput
from tests.conftest import picture
from tests.fakes import ShadeModel
from tests.workshop import TurnModel, workshop

pytestmark = pytest.mark.anyio


async def test_a_job_succeeds_with_its_result_in_the_storage(tmp_path):
    """The row names the result, how long each stage took, and that all is done."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit(degrees=90)
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert (job.status, job.progress, job.attempts) == ("succeeded", 1.0, 1)
        assert job.problem is None
        assert set(job.seconds) == {"decode", "forward", "postprocess"}
        assert job.lease_until is None
        data = await shop.storage.get(job.result["key"])
        assert Image.open(io.BytesIO(data)).size == (32, 32)
        assert (job.result["media_type"], job.result["size"]) == ("image/png", len(data))


async def test_a_quick_model_runs_as_a_job_too(tmp_path):
    """Its result is the JSON that a prediction would give."""
    async with workshop(tmp_path, ShadeModel()) as shop:
        job_id = await shop.submit("shade")
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert job.status == "succeeded"
        result = json.loads(await shop.storage.get(job.result["key"]))
        assert result == {"label": "light", "brightness": 255.0}


async def test_a_second_delivery_does_nothing(tmp_path):
    """While the first runs, and after it."""
    model = TurnModel()
    model.go_on.clear()
    async with workshop(tmp_path, model) as shop:
        job_id = await shop.submit()
        first = asyncio.create_task(shop.runs.run(job_id))
        await asyncio.to_thread(model.stepped.wait)
        await shop.runs.run(job_id)
        assert not first.done()
        model.go_on.set()
        await first
        await shop.runs.run(job_id)
        assert (model.runs, (await shop.job(job_id)).attempts) == (1, 1)


async def test_an_id_that_is_none_does_nothing(tmp_path):
    """A row may be gone by the time that its message comes."""
    async with workshop(tmp_path, TurnModel()) as shop:
        await shop.runs.run("0" * 32)
        assert await shop.jobs.page(1) == []


@pytest.mark.parametrize("error", [InvalidInput("too dark"), None], ids=["model", "decoder"])
async def test_a_bad_input_fails_at_once(tmp_path, error):
    """Another run would meet it again; the row has a problem document that says what to do."""
    model = TurnModel()
    model.error = error
    async with workshop(tmp_path, model) as shop:
        job_id = await shop.submit(data=picture() if error else b"no picture")
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert (job.status, job.attempts, job.result) == ("failed", 1, None)
        assert job.problem["status"] == 422
        assert job.problem["type"].startswith("urn:vitrine:problem:invalid-")
        assert shop.sender.sent == []


async def test_parameters_of_another_release_fail_at_once(tmp_path):
    """A job may wait while a deploy changes its model."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit(speed=3)
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert job.status == "failed"
        assert "send it again" in job.problem["detail"]


async def test_what_may_pass_is_tried_again_with_growing_pauses_and_then_dies(tmp_path):
    """Three retries, then a dead letter; nothing of the model's error is shown to callers."""
    model = TurnModel()
    model.error = RuntimeError("secret words")
    async with workshop(tmp_path, model) as shop:
        job_id = await shop.submit()
        for attempt in (1, 2, 3):
            await shop.runs.run(job_id)
            job = await shop.job(job_id)
            assert (job.status, job.attempts) == ("accepted", attempt)
            await asyncio.sleep(max(0.0, job.retry_at - time.time()))
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert (job.status, job.attempts) == ("failed", 4)
        assert job.problem["type"] == "urn:vitrine:problem:model-failed"
        assert "secret" not in json.dumps(job.problem)
        assert [round(delay, 3) for _, delay in shop.sender.sent] == [0.01, 0.02, 0.04]


async def test_a_job_that_kills_its_workers_dies_after_its_attempts(tmp_path):
    """Nobody lives to write why it failed, so the run after the last says so without running it."""
    model = TurnModel()
    async with workshop(tmp_path, model) as shop:
        job_id = await shop.submit()
        for attempt in range(4):  # four workers, each of which dies
            assert await shop.jobs.claim(job_id, f"worker {attempt}", attempt * 10.0 + 1e9, 5)
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert (job.status, model.runs) == ("failed", 0)
        assert "workers died" in job.problem["detail"]


async def test_a_storage_that_is_gone_costs_no_attempt(tmp_path):
    """However long it takes, the job goes on when it is back."""
    model = TurnModel()
    async with workshop(tmp_path, model) as shop:
        job_id = await shop.submit()
        folder = tmp_path / "storage"
        folder.rename(tmp_path / "away")
        folder.write_text("a file where the folder was")
        for _ in range(6):
            await shop.runs.run(job_id)
            job = await shop.job(job_id)
            assert (job.status, job.attempts) == ("accepted", 0)
            assert job.problem["type"] == "urn:vitrine:problem:storage-unavailable"
            await asyncio.sleep(0.02)
        folder.unlink()
        (tmp_path / "away").rename(folder)
        await shop.runs.run(job_id)
        assert (await shop.job(job_id)).status == "succeeded"


async def test_inputs_that_are_gone_for_good_fail_the_job(tmp_path):
    """What is not there any more will not come back."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit()
        await shop.storage.delete(f"jobs/{job_id}/inputs/image")
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert (job.status, job.problem["status"]) == ("failed", 404)


@pytest.mark.parametrize("there", [True, False], ids=["not loaded", "unknown here"])
async def test_a_worker_without_the_model_leaves_its_jobs_to_others(tmp_path, there):
    """In the midst of a deploy some workers know a model and some do not."""
    model = TurnModel()
    model.load_error = OSError("no weights")
    async with workshop(tmp_path, *([model] if there else [])) as shop:
        job_id = await shop.submit()
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert (job.status, job.attempts) == ("accepted", 0)


async def test_a_broker_that_is_gone_leaves_the_retry_to_the_sweep(tmp_path):
    """The row says when it is due and that nothing was sent."""
    model = TurnModel()
    model.error = RuntimeError("once")
    async with workshop(tmp_path, model) as shop:
        job_id = await shop.submit()
        shop.sender.broken = True
        await shop.runs.run(job_id)
        job = await shop.job(job_id)
        assert (job.status, job.sent_at) == ("accepted", None)


async def test_a_database_that_is_gone_at_the_end_is_waited_for(tmp_path, monkeypatch):
    """The work is done; only the row has to hear of it."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit()
        monkeypatch.setattr("project.jobs.outage.PAUSE_SECONDS", 0.01)
        succeed, failures = shop.jobs.succeed, iter(range(3))

        async def late(*arguments):
            if next(failures, None) is not None:
                raise DatabaseUnavailable("gone")
            return await succeed(*arguments)

        monkeypatch.setattr(shop.jobs, "succeed", late)
        await shop.runs.run(job_id)
        assert (await shop.job(job_id)).status == "succeeded"
