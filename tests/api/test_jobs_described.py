"""The description of jobs: models, schemas and metrics; and a server with JOBS=off."""

import json
import re

import pytest
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.errors import ConfigurationError
from tests.api.test_openapi import TYPES, every, faults, resolved
from tests.conftest import make_settings, picture
from tests.fakes import BlendModel, FakeQueue, PaintModel, ShadeModel
from tests.job_api import BLEND, PAINT, PNG, SHADE, job_api, job_settings

pytestmark = pytest.mark.anyio
JOB = "/v1/jobs/{job_id}"


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


@pytest.fixture
async def document(api):
    return (await api.client.get("/openapi.json")).json()


async def test_quick_and_long_models_are_listed_with_their_paths(api):
    """The images' names, and whether the weights are loaded."""
    models = {item["name"]: item for item in (await api.client.get("/v1/models")).json()["models"]}
    assert models["shade"]["predictions"] == "/v1/models/shade/predictions"
    assert models["blend"]["predictions"] == "/v1/models/blend/predictions"
    assert {name: item["background"] for name, item in models.items()} == {
        "shade": False,
        "blend": False,
        "paint": True,
    }
    assert {name: item["jobs"] for name, item in models.items()} == {
        "shade": SHADE,
        "blend": BLEND,
        "paint": PAINT,
    }
    assert {name: item["loaded"] for name, item in models.items()} == {
        "shade": True,
        "blend": True,
        "paint": None,
    }
    assert [it["name"] for it in models["blend"]["inputs"]] == ["content", "style"]
    assert models["paint"]["inputs"] == []


async def test_a_models_result_is_described(api):
    """By a schema, or by the media type of an image."""
    shade = (await api.client.get("/v1/models/shade")).json()
    assert shade["result"]["media_types"] == ["application/json"]
    assert "brightness" in shade["result"]["schema"]["properties"]
    blend = (await api.client.get("/v1/models/blend")).json()
    assert blend["result"] == {
        "kinds": ["picture"],
        "media_types": ["image/png", "image/jpeg", "image/webp", "application/json"],
        "schema": None,
    }
    assert "threshold" in blend["parameters_schema"]["properties"]
    assert (await api.client.get("/metadata")).status_code == 200


async def test_a_model_in_the_background_is_not_waited_for(api):
    """The problem names both ways to a job, rather than a request that takes minutes."""
    answer = await api.client.post("/v1/models/paint/predictions?prompt=fox")
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:vitrine:problem:runs-in-background"
    assert "Prefer: respond-async" in answer.json()["detail"]
    assert PAINT in answer.json()["detail"]


async def test_every_route_of_jobs_is_documented(document):
    """With a unique operation id, and references that resolve."""
    assert {SHADE, BLEND, PAINT, "/v1/jobs", JOB, f"{JOB}/result", f"{JOB}/events"} <= set(
        document["paths"]
    )
    assert set(document["paths"][JOB]) == {"get", "delete"}
    operations = [item for path in document["paths"].values() for item in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    for reference in every(document, "$ref"):
        assert resolved(document, reference)
    for schema in every(document["paths"], "schema"):
        assert schema.get("type", "object") in TYPES


async def test_each_model_documents_what_its_jobs_take(document):
    """Every image by its name, the parameters and the key; a raw body only for one image."""
    blend = document["paths"][BLEND]["post"]
    content = blend["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    for body in content.values():
        assert body["schema"]["required"] == ["content", "style"]
        assert set(body["schema"]["properties"]) == {"content", "style", "threshold"}
    assert [item["name"] for item in blend["parameters"]] == ["threshold", "Idempotency-Key"]
    paint = document["paths"][PAINT]["post"]["requestBody"]
    assert paint["required"] is False
    assert "application/x-www-form-urlencoded" in paint["content"]
    assert paint["content"]["application/json"]["example"] == {"prompt": "a cat", "size": 64}
    shade = document["paths"][SHADE]["post"]["requestBody"]["content"]
    assert "image/png" in shade


@pytest.mark.parametrize("path", [SHADE, BLEND, PAINT])
async def test_the_example_of_a_job_can_be_sent_unchanged(api, document, path):
    """`Try it out` submits a job, and its view conforms to its schema."""
    operation = document["paths"][path]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    answer = await api.client.post(path, json=example)
    assert answer.status_code == 202
    assert "Location" in operation["responses"]["202"]["headers"]
    schema = operation["responses"]["202"]["content"]["application/json"]["schema"]
    assert faults(document, schema, answer.json()) == []
    page = document["components"]["schemas"]["JobPage"]
    assert faults(document, page, (await api.client.get("/v1/jobs")).json()) == []


async def test_the_problems_of_a_job_are_documented(document):
    """With their media type."""
    responses = document["paths"][f"{JOB}/result"]["get"]["responses"]
    for status in ("404", "409", "503"):
        assert set(responses[status]["content"]) == {"application/problem+json"}
    assert "307" in responses
    assert "204" in document["paths"][f"{JOB}/events"]["get"]["responses"]


@pytest.mark.parametrize("method", ["PUT", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/jobs/1", {"GET", "DELETE"}),  # each is a route of its own
        ("/v1/jobs", {"GET"}),
        ("/v1/jobs/1/retry", {"POST"}),
        (SHADE, {"POST"}),
    ],
)
async def test_a_wrong_method_is_told_every_method_of_the_path(api, method, path, allowed):
    """And each method that is named is one that the server answers (RFC 9110, section 10.2.1)."""
    answer = await api.client.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == allowed
    for name in allowed:
        assert (await api.client.request(name, path)).status_code != 405


@pytest.mark.parametrize(
    ("path", "name", "valid", "invalid"),
    [
        (SHADE, "Idempotency-Key", ["a", "!~" * 127], ["", "a b", "ä", "a" * 256]),
        (f"{JOB}/events", "last-event-id", ["", "7", "1" * 15], ["x", "-1", "1" * 16]),
        (JOB, "job_id", ["0" * 32], ["0" * 31, "X" * 32]),
        ("/v1/jobs", "model", ["shade", "text_to_image", "_"], ["1st", "a-b", "", "a" * 101]),
        ("/v1/jobs", "before", ["0" * 32], ["", "x"]),
    ],
)
async def test_what_a_parameter_may_be_is_documented(document, path, name, valid, invalid):
    """As text of a pattern and a length, and never as null, which no query and no header can be."""
    operation = next(iter(document["paths"][path].values()))
    (schema,) = [item["schema"] for item in operation["parameters"] if item["name"] == name]
    assert schema["type"] == "string"
    for value in [*valid, *invalid]:
        fits = len(value) <= schema.get("maxLength", 1000) and re.search(schema["pattern"], value)
        assert bool(fits) == (value in valid), value


async def test_an_event_of_a_job_is_described(api, document):
    """The schema of a stream is that of each event, whose data is a job."""
    content = document["paths"][f"{JOB}/events"]["get"]["responses"]["200"]["content"]
    schema = content["text/event-stream"]["schema"]
    job = (await api.submit())["id"]
    await api.client.delete(f"/v1/jobs/{job}")
    text = (await api.client.get(f"/v1/jobs/{job}/events")).text
    event = dict(line.split(": ", 1) for line in text.strip().splitlines())
    assert faults(document, schema, event) == []
    view = json.loads(event["data"])
    assert faults(document, schema["properties"]["data"]["contentSchema"], view) == []


async def test_jobs_are_counted_from_zero_for_every_model(api):
    """An alert needs a 0, not a missing series."""
    text = (await api.client.get("/metrics")).text
    for name in ("shade", "blend", "paint"):
        assert f'jobs_total{{model="{name}",outcome="failed"}}' in text
        assert f'jobs_enqueued_total{{model="{name}"}}' in text
    assert 'inference_requests_total{model="blend"' in text


async def test_a_stream_is_counted_and_its_length_is_no_latency(api):
    """The client decides how long it lasts."""
    job = (await api.submit())["id"]
    await api.client.delete(f"/v1/jobs/{job}")
    assert (await api.client.get(f"/v1/jobs/{job}/events")).status_code == 200
    text = (await api.client.get("/metrics")).text
    assert 'http_requests_total{handler="/v1/jobs/{job_id}/events",method="GET"' in text
    assert 'http_request_duration_seconds_count{handler="/v1/jobs/{job_id}/events"' not in text


def test_with_jobs_off_there_is_no_route_of_jobs():
    """No database, no queue; a quick model still predicts."""

    def never(_settings):
        raise AssertionError("no broker is needed")

    app = create_app(make_settings(), [ShadeModel()], make_queue=never)
    with TestClient(app) as client:
        assert client.post(SHADE, content=picture(), headers=PNG).status_code == 404
        assert client.get("/v1/jobs").status_code == 404
        assert client.get("/v1/models").json()["models"][0]["jobs"] is None
        assert set(client.get("/ready").json()["checks"]) == {"model:shade"}
        assert not any("jobs" in path for path in client.get("/openapi.json").json()["paths"])


def test_with_jobs_off_a_model_in_the_background_is_not_served():
    """The others are."""
    models = [ShadeModel(), BlendModel(), PaintModel()]
    with TestClient(create_app(make_settings(), models)) as client:
        models = client.get("/v1/models").json()["models"]
        assert [model["name"] for model in models] == ["shade", "blend"]


def test_with_jobs_off_a_server_needs_a_model_that_answers_at_once():
    """It is refused at the start."""
    with pytest.raises(ConfigurationError, match="paint: served as jobs alone, and JOBS is off"):
        create_app(make_settings(), [PaintModel()])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"storage_url": "file:"}, "STORAGE_URL"),
        ({"storage_url": "s3://"}, "STORAGE_URL"),
        ({"database_url": "sqlite+aiosqlite:///:memory:"}, "DATABASE_URL"),
    ],
)
def test_an_invalid_storage_or_database_is_refused_at_the_start(tmp_path, changes, said):
    """Not at the first job."""
    with pytest.raises(ConfigurationError, match=said):
        create_app(job_settings(tmp_path, **changes), [ShadeModel()])


async def test_nothing_is_opened_before_the_process_serves(tmp_path):
    """Neither a database connection nor a broker connection survives a fork."""
    opened = []

    def note(_settings):
        opened.append(1)
        return FakeQueue()

    app = create_app(job_settings(tmp_path), [ShadeModel()], make_queue=note)
    assert (opened, list(tmp_path.iterdir())) == ([], [])
    async with app.router.lifespan_context(app):
        assert opened == [1]


async def test_long_models_alone_are_served_as_well(tmp_path):
    """Without a quick model there are still /ready and jobs."""
    async with job_api(job_settings(tmp_path), tmp_path, [BlendModel()]) as api:
        assert (await api.client.get("/ready")).status_code == 200
        answer = await api.client.post(BLEND, files={"content": picture(), "style": picture()})
        assert answer.status_code == 202
