"""Jobs that are cancelled: counted once each, here or by their worker."""

import asyncio
import time
from unittest.mock import patch

import pytest

from drills.server import Metrics
from project.db.job_transitions import Job
from tests.job_api import JobApi, job_api, job_settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


async def cancelled(api: JobApi) -> float:
    """How many jobs are counted as cancelled."""
    metrics = Metrics((await api.client.get("/metrics")).text)
    return metrics.value("jobs_total", model="shade", outcome="cancelled")


async def test_a_job_that_is_cancelled_while_it_waits_is_counted_once(api):
    """However many ask at once and later, and though its being sent was noted meanwhile."""
    before = await cancelled(api)
    job_id = (await api.submit())["id"]
    await asyncio.gather(*(api.client.delete(f"/v1/jobs/{job_id}") for _ in range(8)))
    await api.client.delete(f"/v1/jobs/{job_id}")
    assert await cancelled(api) == before + 1
    sent_meanwhile = (await api.submit())["id"]
    find = api.desk.jobs.get

    async def find_and_mark(job_id: str) -> Job | None:
        job = await find(job_id)
        await api.jobs.mark_sent(job_id, time.time())
        return job

    with patch.object(api.desk.jobs, "get", find_and_mark):
        await api.client.delete(f"/v1/jobs/{sent_meanwhile}")
    assert await cancelled(api) == before + 2


async def test_a_job_that_its_worker_cancels_is_counted_there(api):
    """And not when it is asked for, nor when its end is asked for again."""
    before = await cancelled(api)
    job = await api.running()
    await api.client.delete(f"/v1/jobs/{job.id}")
    assert await api.jobs.cancelled(job.id, "worker", time.time())
    assert (await api.client.delete(f"/v1/jobs/{job.id}")).status_code == 200
    assert await cancelled(api) == before
