"""Prefer: respond-async makes a job of a prediction (RFC 7240)."""

import pytest
from starlette.testclient import TestClient

from project.api.factory import create_app
from tests.conftest import make_settings, picture
from tests.contract_models import Answer, Echo
from tests.fakes import PaintModel, ShadeModel
from tests.job_api import PNG, job_api, job_settings

pytestmark = pytest.mark.anyio
PREFER = {"Prefer": "respond-async"}
SHADE, PAINT, ECHO, ANSWER = (
    f"/v1/models/{name}/predictions" for name in ("shade", "paint", "echo", "answer")
)


@pytest.fixture
async def api(tmp_path):
    models = [ShadeModel(), PaintModel(), Echo("echo"), Answer("answer")]
    async with job_api(job_settings(tmp_path), tmp_path, models) as api:
        yield api


async def test_a_prediction_becomes_a_job_that_is_answered_at_once(api):
    """With all that the route of jobs says, and that the preference was applied."""
    answer = await api.client.post(SHADE, content=picture(), headers=PNG | PREFER)
    assert answer.status_code == 202
    job = answer.json()
    assert (job["model"], job["status"]) == ("shade", "accepted")
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["preference-applied"] == "respond-async"
    assert api.queue.sent == [job["id"]]


@pytest.mark.parametrize(
    "prefer", ["Respond-Async", "wait=10, respond-async", "respond-async; a=b"]
)
async def test_the_preference_is_found_among_others(api, prefer):
    """Names are of any case, and others stand beside it."""
    answer = await api.client.post(SHADE, content=picture(), headers=PNG | {"Prefer": prefer})
    assert answer.status_code == 202


async def test_without_the_preference_it_is_a_prediction(api):
    """Another preference changes nothing."""
    headers = PNG | {"Prefer": "return=minimal"}
    answer = await api.client.post(SHADE, content=picture(), headers=headers)
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


async def test_the_idempotency_key_counts(api):
    """The same request again is the same job, whichever route it takes."""
    headers = PNG | PREFER | {"Idempotency-Key": "k"}
    first = await api.client.post(SHADE, content=picture(), headers=headers)
    again = await api.client.post("/v1/models/shade/jobs", content=picture(), headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_model_in_the_background_is_reached_by_the_preference(api):
    """And by nothing else on this route."""
    answer = await api.client.post(f"{PAINT}?prompt=fox", headers=PREFER)
    assert answer.status_code == 202
    assert answer.json()["params"]["prompt"] == "fox"
    assert (await api.client.post(f"{PAINT}?prompt=fox")).status_code == 400


async def test_bad_input_is_refused_before_a_job_is_made(api):
    """As on the route of jobs."""
    answer = await api.client.post(SHADE, content=b"no picture", headers=PNG | PREFER)
    assert answer.status_code == 422
    assert await api.rows() == []


async def test_a_text_is_a_file_of_the_job(api):
    """Beside its pictures, with its charset; a worker reads it back as it was."""
    answer = await api.client.post(ECHO, json={"text": "grüße"}, headers=PREFER)
    (given,) = answer.json()["inputs"]
    assert (given["name"], given["media_type"]) == ("text", "text/plain; charset=utf-8")
    key = f"jobs/{answer.json()['id']}/inputs/text"
    assert await api.job_services.storage.get(key) == "grüße".encode()
    files = {"image": picture(), "text": b"a fox"}
    both = await api.client.post(ANSWER, files=files, headers=PREFER)
    assert [item["name"] for item in both.json()["inputs"]] == ["image", "text"]


async def test_with_jobs_off_the_preference_is_ignored():
    """A preference is no demand: the client gets its answer."""
    app = create_app(make_settings(), [ShadeModel()])
    with TestClient(app) as client:
        answer = client.post(SHADE, content=picture(), headers=PNG | PREFER)
        assert answer.status_code == 200
        assert answer.json()["label"] == "light"
