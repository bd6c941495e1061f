"""Jobs over HTTP: submitted, shown, listed, cancelled, retried, downloaded."""

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
    """The id of a job that has succeeded."""
    job = await api.running()
    key = f"jobs/{job.id}/results/1"
    await api.job_services.storage.put(key, data, media_type)
    result = {"key": key, "media_type": media_type, "size": len(data)}
    assert await api.jobs.transitions.succeed(
        job.id, "worker", time.time(), result, {"forward": 0.5}
    )
    return job.id


async def test_a_job_is_accepted_and_sent_to_the_workers(api):
    """202 with its Location; the row, the file and the message exist."""
    answer = await api.client.post(SHADE, files={"image": picture()}, params={"threshold": 3})
    view = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{view['id']}"
    assert "Idempotency-Replayed" not in answer.headers
    assert (view["status"], view["progress"], view["attempts"]) == ("accepted", 0, 0)
    assert view["params"] == {"threshold": 3.0}
    assert view["request_id"] == answer.headers["X-Request-ID"]
    assert api.queue.sent == [view["id"]]
    (job,) = await api.rows()
    assert job.sent_at is not None
    (stored,) = job.inputs
    assert stored["key"] == f"jobs/{job.id}/inputs/image"
    assert await api.job_services.storage.get(stored["key"]) == picture()


async def test_a_job_is_shown_while_it_runs_and_when_it_has_ended(api):
    """Status, progress, times and the seconds of each stage."""
    job = await api.running()
    await api.jobs.transitions.renew(job.id, "worker", 1e9, 1e10, 0.25)
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


async def test_the_result_is_downloaded_through_a_redirect(api):
    """307 to a signed URL, which serves the bytes as they were stored."""
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
    """200 and 202."""
    waiting = (await api.submit())["id"]
    answer = await api.client.delete(f"/v1/jobs/{waiting}")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    job = await api.running()
    answer = await api.client.delete(f"/v1/jobs/{job.id}")
    assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)


async def test_a_failed_job_is_retried_from_its_first_attempt(api):
    """It is accepted and sent again."""
    job = await api.running()
    assert await api.jobs.transitions.fail(job.id, "worker", time.time(), PROBLEM)
    failed = (await api.client.get(f"/v1/jobs/{job.id}")).json()
    assert (failed["status"], failed["problem"]) == ("failed", PROBLEM)
    answer = await api.client.post(f"/v1/jobs/{job.id}/retry")
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["attempts"]) == ("accepted", 0)
    assert answer.json()["problem"] is None
    assert api.queue.sent == [job.id, job.id]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/{}"),
        ("GET", "/v1/jobs/{}/result"),
        ("GET", "/v1/jobs/{}/inputs/image"),
        ("GET", "/v1/jobs/{}/events"),
        ("DELETE", "/v1/jobs/{}"),
        ("POST", "/v1/jobs/{}/retry"),
    ],
)
@pytest.mark.parametrize(
    "job_id", ["0" * 32, "x", "0" * 31 + "F", "%00", "'; DROP TABLE jobs; --", "9" * 5000, "é" * 32]
)
async def test_an_unknown_or_malformed_id_is_a_404(api, method, path, job_id):
    """On every route; it reaches the database as a value at most."""
    answer = await api.client.request(method, path.format(job_id))
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:vitrine:problem:job-not-found"
    assert "GET /v1/jobs" in answer.json()["detail"]


async def test_an_unchanged_job_is_a_304(api):
    """With If-None-Match, until its revision changes."""
    path = f"/v1/jobs/{(await api.submit())['id']}"
    first = await api.client.get(path)
    known = {"If-None-Match": f'"other", {first.headers["ETag"]}'}
    same = await api.client.get(path, headers=known)
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["ETag"] == first.headers["ETag"]
    await api.client.delete(path)
    assert (await api.client.get(path, headers=known)).status_code == 200


async def test_there_is_no_result_before_or_without_success(api):
    """409 with the status and the next step."""
    waiting = (await api.submit())["id"]
    answer = await api.client.get(f"/v1/jobs/{waiting}/result")
    assert (answer.status_code, answer.json()["title"]) == (409, "Job conflict")
    assert "accepted" in answer.json()["detail"]
    assert "follow its events" in answer.json()["detail"]
    job = await api.running()
    assert await api.jobs.transitions.fail(job.id, "worker", time.time(), PROBLEM)
    answer = await api.client.get(f"/v1/jobs/{job.id}/result")
    assert answer.status_code == 409
    assert f"POST /v1/jobs/{job.id}/retry" in answer.json()["detail"]


async def test_a_deleted_result_is_a_404_and_no_longer_in_the_view(api):
    """The job itself stays."""
    done = await succeeded(api)
    await api.jobs.transitions.mark_files_deleted(done, time.time())
    answer = await api.client.get(f"/v1/jobs/{done}/result")
    assert (answer.status_code, answer.json()["title"]) == (404, "File missing")
    view = (await api.client.get(f"/v1/jobs/{done}")).json()
    assert (view["status"], view["result"]) == ("succeeded", None)


@pytest.mark.parametrize(
    "change", [("signature=", "signature=0"), ("results", "inputs"), ("?", "x?")]
)
async def test_a_changed_url_downloads_nothing(api, change):
    """Neither another file nor with a later expiry."""
    leads = await api.client.get(f"/v1/jobs/{await succeeded(api)}/result")
    answer = await api.client.get(leads.headers["Location"].replace(*change))
    assert answer.status_code == 403


async def test_lists_are_filtered_by_model_and_status(api):
    """The path of the next page keeps the filters."""
    for _ in range(3):
        await api.submit()
    words = await api.client.post("/v1/models/paint/jobs", json={"prompt": "a cat"})
    cancelled = (await api.client.get("/v1/jobs?limit=100")).json()["jobs"][-1]["id"]
    await api.client.delete(f"/v1/jobs/{cancelled}")
    page = (await api.client.get("/v1/jobs?model=shade&status=accepted&limit=1")).json()
    assert page["jobs"][0]["model"] == "shade"
    last = (await api.client.get(page["next"])).json()
    assert len(last["jobs"]) == 1
    assert last["next"] is None
    (paint,) = (await api.client.get("/v1/jobs?model=paint")).json()["jobs"]
    assert paint["id"] == words.json()["id"]
    (gone,) = (await api.client.get("/v1/jobs?status=cancelled")).json()["jobs"]
    assert gone["id"] == cancelled
    assert (await api.client.get("/v1/jobs?model=unknown")).json() == {"jobs": [], "next": None}


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=many", "limit=", "before=x", "before=", "status=done"),
        *("model=%00", "model=a%20b", f"model={'a' * 101}", "modell=shade", "model="),
        f"before={'0' * 31}",
    ],
)
async def test_an_invalid_query_of_a_list_is_a_422_that_names_the_parameter(api, query):
    """It never reaches the database."""
    answer = await api.client.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in str(answer.json()["errors"])


async def test_a_job_that_has_succeeded_cannot_be_cancelled(api):
    """409; cancelling twice is a 200."""
    done = await succeeded(api)
    answer = await api.client.delete(f"/v1/jobs/{done}")
    assert answer.status_code == 409
    assert "succeeded" in answer.json()["detail"]
    waiting = (await api.submit())["id"]
    statuses = [(await api.client.delete(f"/v1/jobs/{waiting}")).status_code for _ in range(2)]
    assert statuses == [200, 200]


async def test_only_a_failed_job_with_its_files_runs_again(api):
    """409 with the reason, and no message."""
    done, job = await succeeded(api), await api.running()
    sent = list(api.queue.sent)
    for job_id, word in ((done, "succeeded"), (job.id, "running")):
        answer = await api.client.post(f"/v1/jobs/{job_id}/retry")
        assert answer.status_code == 409
        assert word in answer.json()["detail"]
    assert await api.jobs.transitions.fail(job.id, "worker", time.time(), PROBLEM)
    await api.jobs.transitions.mark_files_deleted(job.id, time.time())
    answer = await api.client.post(f"/v1/jobs/{job.id}/retry")
    assert answer.status_code == 409
    assert "files are deleted" in answer.json()["detail"]
    assert api.queue.sent == sent
