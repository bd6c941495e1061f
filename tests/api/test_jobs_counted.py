"""Cancelled jobs are counted once, by the API or by their worker."""

import asyncio
import time

import pytest

from drills.server import Metrics
from tests.job_api import JobApi, job_api, job_settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


async def cancelled(api: JobApi) -> float:
    """The number of jobs that are counted as cancelled."""
    metrics = Metrics((await api.client.get("/metrics")).text)
    return metrics.value("jobs_total", model="shade", outcome="cancelled")


async def test_a_job_that_is_cancelled_while_it_waits_is_counted_once(api):
    """However many requests cancel it, at once and later."""
    before = await cancelled(api)
    job_id = (await api.submit())["id"]
    await asyncio.gather(*(api.client.delete(f"/v1/jobs/{job_id}") for _ in range(8)))
    await api.client.delete(f"/v1/jobs/{job_id}")
    assert await cancelled(api) == before + 1


async def test_a_job_that_its_worker_cancels_is_not_counted_here(api):
    """Neither when it is requested nor when it is cancelled again."""
    before = await cancelled(api)
    job = await api.running()
    await api.client.delete(f"/v1/jobs/{job.id}")
    assert await api.jobs.transitions.finish_cancelled(job.id, "worker", time.time())
    assert (await api.client.delete(f"/v1/jobs/{job.id}")).status_code == 200
    assert await cancelled(api) == before
