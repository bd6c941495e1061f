"""Jobs over HTTP, as their callers see them: sent, looked at, cancelled, run again, fetched."""

import time

import pytest

from tests.conftest import picture
from tests.job_api import SHADE, JobApi, job_api, job_settings

pytestmark = pytest.mark.anyio
PROBLEM = {"type": "urn:vitrine:problem:model-failed", "title": "Model failed", "status": 500}


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


async def succeeded(api: JobApi, data: bytes = b"{}", media_type: str = "application/json") -> str:
    """The id of a job whose worker has done it."""
    job = await api.running()
    key = f"jobs/{job.id}/results/1"
    await api.desk.storage.put(key, data, media_type)
    result = {"key": key, "media_type": media_type, "size": len(data)}
    assert await api.jobs.succeed(job.id, "worker", time.time(), result, {"forward": 0.5})
    return job.id


async def test_a_job_is_accepted_with_its_place_and_sent_to_the_workers(api):
    """202, where to look, and the row, the file and the message are there."""
    answer = await api.client.post(SHADE, files={"image": picture()}, params={"threshold": 3})
    view = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{view['id']}"
    assert "Idempotency-Replayed" not in answer.headers
    assert (view["status"], view["progress"], view["attempts"]) == ("accepted", 0, 0)
    assert view["params"] == {"threshold": 3.0}
    assert view["request_id"] == answer.headers["X-Request-ID"]
    assert api.sender.sent == [view["id"]]
    (job,) = await api.rows()
    assert job.sent_at is not None
    (stored,) = job.inputs
    assert stored["key"] == f"jobs/{job.id}/inputs/image"
    assert await api.desk.storage.get(stored["key"]) == picture()


async def test_a_job_is_seen_from_its_beginning_to_its_end(api):
    """Status, progress, times and what each stage took."""
    job = await api.running()
    await api.jobs.renew(job.id, "worker", 1e9, 1e10, 0.25)
    view = (await api.client.get(f"/v1/jobs/{job.id}")).json()
    assert (view["status"], view["progress"], view["attempts"]) == ("running", 0.25, 1)
    assert (view["finished_at"], view["result"]) == (None, None)
    done = await succeeded(api, b'{"x": 1}')
    view = (await api.client.get(f"/v1/jobs/{done}")).json()
    assert (view["status"], view["progress"]) == ("succeeded", 1)
    assert view["seconds"] == {"forward": 0.5}
    assert view["result"] == {
        "media_type": "application/json",
        "size": 8,
        "url": f"/v1/jobs/{done}/result",
    }


async def test_the_result_is_downloaded_from_where_it_leads(api):
    """307 to an address that is signed, for the bytes as they were stored."""
    done = await succeeded(api, picture("PNG"), "image/png")
    leads = await api.client.get(f"/v1/jobs/{done}/result")
    assert (leads.status_code, leads.headers["Cache-Control"]) == (307, "no-store")
    file = await api.client.get(leads.headers["Location"])
    assert (file.status_code, file.content) == (200, picture("PNG"))
    assert file.headers["Content-Type"] == "image/png"
    assert f"shade-{done}.png" in file.headers["Content-Disposition"]


async def test_lists_are_paged_from_the_newest_to_the_oldest(api):
    """Each job once, however small the pages."""
    ids = [(await api.submit())["id"] for _ in range(5)]
    path, seen = "/v1/jobs?limit=2", []
    while path:
        page = (await api.client.get(path)).json()
        assert len(page["jobs"]) <= 2
        seen += [job["id"] for job in page["jobs"]]
        path = page["next"]
    assert seen == sorted(ids, reverse=True)


async def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_by_its_worker(api):
    """200 where it is done, 202 where it will be."""
    waiting = (await api.submit())["id"]
    answer = await api.client.delete(f"/v1/jobs/{waiting}")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    job = await api.running()
    answer = await api.client.delete(f"/v1/jobs/{job.id}")
    assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)


async def test_a_failed_job_runs_again_as_if_it_never_had(api):
    """Accepted once more and sent once more."""
    job = await api.running()
    assert await api.jobs.fail(job.id, "worker", time.time(), PROBLEM)
    failed = (await api.client.get(f"/v1/jobs/{job.id}")).json()
    assert (failed["status"], failed["problem"]) == ("failed", PROBLEM)
    answer = await api.client.post(f"/v1/jobs/{job.id}/retry")
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["attempts"]) == ("accepted", 0)
    assert answer.json()["problem"] is None
    assert api.sender.sent == [job.id, job.id]
