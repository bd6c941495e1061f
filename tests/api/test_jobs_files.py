"""The files of a job over HTTP: its inputs and its result, by a link or inside JSON."""

import base64
import time
from datetime import datetime

import pytest

from tests.api.test_jobs import succeeded
from tests.api.test_openapi import faults
from tests.conftest import picture
from tests.job_api import BLEND, PAINT, job_api, job_settings

pytestmark = pytest.mark.anyio
FILE = "/v1/jobs/{job_id}/inputs/{name}"
JPEG, PNG = picture("JPEG"), picture("PNG")


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


async def blend(api) -> dict:
    """The view of a job with two inputs that waits."""
    files = {"content": ("cat.jpg", JPEG), "style": ("x", PNG)}
    return (await api.client.post(BLEND, files=files)).json()


async def test_a_job_shows_its_inputs(api):
    """Name, media type as found in the bytes, size and link; before it has run, too."""
    view = await blend(api)
    path = f"/v1/jobs/{view['id']}/inputs"
    assert view["inputs"] == [
        {
            "name": "content",
            "media_type": "image/jpeg",
            "size": len(JPEG),
            "url": f"{path}/content",
        },
        {"name": "style", "media_type": "image/png", "size": len(PNG), "url": f"{path}/style"},
    ]
    assert (await api.client.get(f"/v1/jobs/{view['id']}")).json()["inputs"] == view["inputs"]
    words = await api.client.post(PAINT, json={"prompt": "a cat"})
    assert words.json()["inputs"] == []


async def test_an_input_is_downloaded_through_a_redirect(api):
    """307 to a signed URL, which serves the bytes as they were sent."""
    view = await blend(api)
    for item, data, suffix in zip(view["inputs"], (JPEG, PNG), ("jpg", "png"), strict=True):
        leads = await api.client.get(item["url"])
        assert (leads.status_code, leads.headers["Cache-Control"]) == (307, "no-store")
        file = await api.client.get(leads.headers["Location"])
        assert (file.status_code, file.content) == (200, data)
        assert file.headers["Content-Type"] == item["media_type"]
        name = f'"blend-{view["id"]}-{item["name"]}.{suffix}"'
        assert name in file.headers["Content-Disposition"]


@pytest.mark.parametrize("name", ["image", "STYLE", "..%2fresults%2f1", "%00", "x" * 5000])
async def test_an_input_that_the_job_does_not_have_is_a_404_that_names_its_inputs(api, name):
    """Whatever is asked for."""
    answer = await api.client.get(f"/v1/jobs/{(await blend(api))['id']}/inputs/{name}")
    assert answer.status_code == 404
    if "%2f" not in name:  # a slash belongs to no route
        assert answer.json()["type"] == "urn:vitrine:problem:file-missing"
        assert "content, style" in answer.json()["detail"]


async def test_a_deleted_input_is_a_404_and_no_longer_in_the_view(api):
    """The job itself stays."""
    view = await blend(api)
    await api.client.delete(f"/v1/jobs/{view['id']}")
    await api.jobs.transitions.mark_files_deleted(view["id"], time.time())
    answer = await api.client.get(view["inputs"][0]["url"])
    assert (answer.status_code, answer.json()["title"]) == (404, "File missing")
    assert "deleted" in answer.json()["detail"]
    assert (await api.client.get(f"/v1/jobs/{view['id']}")).json()["inputs"] == []


async def test_the_inputs_are_documented(api):
    """The view of a job, and the problems of its files."""
    document = (await api.client.get("/openapi.json")).json()
    view = document["components"]["schemas"]["JobView"]
    assert faults(document, view, await blend(api)) == []
    assert "inputs" in view["required"]
    assert {"307", "404", "503"} <= set(document["paths"][FILE]["get"]["responses"])


@pytest.mark.parametrize("kind", ["result", "inputs/image"])
async def test_a_client_that_cannot_follow_gets_the_link_as_json(api, kind):
    """What the redirect leads to, with its size, media type and expiry; it is not cached."""
    done = await succeeded(api, PNG, "image/png")
    asked = time.time()
    answer = await api.client.get(f"/v1/jobs/{done}/{kind}?redirect=false")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    link = answer.json()
    assert (link["media_type"], link["size"]) == ("image/png", len(PNG))
    life = datetime.fromisoformat(link["expires_at"]).timestamp() - asked
    assert life == pytest.approx(900, abs=60)  # STORAGE_URL_SECONDS
    file = await api.client.get(link["url"])
    assert (file.status_code, file.content) == (200, PNG)


@pytest.mark.parametrize(
    ("data", "media_type"), [(PNG, "image/png"), (b'{"x": 1}', "application/json"), (b"", "a/b")]
)
async def test_a_small_result_comes_as_base64_in_json(api, data, media_type):
    """A JSON result too, so that a client needs one way to read it; it is not cached."""
    done = await succeeded(api, data, media_type)
    answer = await api.client.get(f"/v1/jobs/{done}/result?inline=base64")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    text = base64.b64encode(data).decode()
    assert answer.json() == {"media_type": media_type, "size": len(data), "data": text}


async def test_an_input_comes_as_base64_in_json(api):
    """As a result does."""
    view = await blend(api)
    answer = await api.client.get(f"{view['inputs'][0]['url']}?inline=base64")
    assert base64.b64decode(answer.json()["data"]) == JPEG


async def test_a_large_file_is_a_413_that_names_the_other_way(tmp_path):
    """At MAX_BODY_BYTES it still comes; one byte more is not even read."""
    async with job_api(job_settings(tmp_path, max_body_bytes=1024), tmp_path) as api:
        fits = await succeeded(api, bytes(1024), "image/png")
        large = await succeeded(api, bytes(1025), "image/png")
        assert (await api.client.get(f"/v1/jobs/{fits}/result?inline=base64")).status_code == 200
        answer = await api.client.get(f"/v1/jobs/{large}/result?inline=base64")
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:vitrine:problem:content-too-large"
        assert "redirect=false" in answer.json()["detail"]
        assert "Connection" not in answer.headers
        assert (await api.client.get(f"/v1/jobs/{large}/result?redirect=false")).status_code == 200


@pytest.mark.parametrize("query", ["redirect=false&inline=base64", "redirect=maybe", "inline=hex"])
async def test_a_wrong_or_contradictory_way_is_a_422(api, query):
    """It names the parameter."""
    answer = await api.client.get(f"/v1/jobs/{await succeeded(api)}/result?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in str(answer.json()["errors"])


@pytest.mark.parametrize("query", ["redirect=false", "inline=base64"])
async def test_what_has_no_file_has_none_in_any_way(api, query):
    """404 once it is deleted, by a sweep or by the bucket's own rules; 409 before there is one."""
    running = await api.running()
    answer = await api.client.get(f"/v1/jobs/{running.id}/result?{query}")
    assert answer.status_code == 409
    done = await succeeded(api)
    await api.jobs.transitions.mark_files_deleted(done, time.time())
    for kind in ("result", "inputs/image"):
        answer = await api.client.get(f"/v1/jobs/{done}/{kind}?{query}")
        assert (answer.status_code, answer.json()["title"]) == (404, "File missing")


async def test_the_ways_to_send_a_file_are_documented(api):
    """Parameters, and schemas that the responses conform to."""
    document = (await api.client.get("/openapi.json")).json()
    done = await succeeded(api)
    for kind, path in (("result", "/v1/jobs/{job_id}/result"), ("inputs/image", FILE)):
        operation = document["paths"][path]["get"]
        assert {"redirect", "inline"} <= {item["name"] for item in operation["parameters"]}
        assert {"200", "307", "404", "413", "422", "503"} <= set(operation["responses"])
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        kinds = [item["$ref"].rpartition("/")[2] for item in schema["anyOf"]]
        assert kinds == ["FileLink", "InlineFile"]
        for query, name in zip(("redirect=false", "inline=base64"), kinds, strict=True):
            body = (await api.client.get(f"/v1/jobs/{done}/{kind}?{query}")).json()
            assert faults(document, document["components"]["schemas"][name], body) == []
