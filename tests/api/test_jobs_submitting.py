"""Submitting a job: every body, what is rejected, idempotency keys, and the limit of jobs."""

import asyncio
import base64

import pytest

from project.api.jobs.submission import KEY_HEADER
from tests import corpus
from tests.conftest import picture
from tests.job_api import BLEND, PAINT, PNG, SHADE, job_api, job_settings

pytestmark = pytest.mark.anyio
TEXT = base64.b64encode(picture()).decode()
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BOTH = {"content": picture(), "style": picture(colour="red")}


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path, job_limit=8), tmp_path) as api:
        yield api


async def test_one_image_can_be_sent_in_three_ways(api):
    """A form, a raw body, JSON: the same request each time."""
    answers = [
        await api.client.post(SHADE, files={"image": picture()}, data={"threshold": "9"}),
        await api.client.post(f"{SHADE}?threshold=9", content=picture(), headers=PNG),
        await api.client.post(SHADE, json={"image": TEXT, "threshold": 9}),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    jobs = await api.rows()
    assert len({job.fingerprint for job in jobs}) == 1
    assert [job.params for job in jobs] == [{"threshold": 9.0}] * 3


async def test_two_images_can_be_sent_in_two_ways(api):
    """In a form or in JSON; a raw body has no names."""
    form = await api.client.post(BLEND, files=BOTH)
    texts = {name: base64.b64encode(data).decode() for name, data in BOTH.items()}
    as_json = await api.client.post(BLEND, json=texts)
    bare = await api.client.post(BLEND, content=picture(), headers=PNG)
    assert [answer.status_code for answer in (form, as_json, bare)] == [202, 202, 415]
    assert "`content` and `style`" in bare.json()["detail"]
    for job in await api.rows():
        assert [item["name"] for item in job.inputs] == ["content", "style"]
        for item in job.inputs:
            assert await api.job_services.storage.get(item["key"]) == BOTH[item["name"]]


async def test_a_request_without_images_can_be_sent_in_four_ways(api):
    """JSON, both kinds of form, or the query alone."""
    answers = [
        await api.client.post(PAINT, json={"prompt": "a cat"}),
        await api.client.post(PAINT, data={"prompt": "a cat"}),
        await api.client.post(PAINT, files={"prompt": (None, "a cat")}),
        await api.client.post(PAINT, params={"prompt": "a cat"}),
    ]
    assert [answer.status_code for answer in answers] == [202] * 4
    assert {job.params["prompt"] for job in await api.rows()} == {"a cat"}
    assert api.files() == []


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"files": {"style": picture()}}, 422, "no file named `content`"),
        ({"files": {"x": picture(), "y": picture()}}, 422, "no files named `content` and `style`"),
        ({"json": {"style": TEXT}}, 422, "no text `content`"),
        ({"json": {"style": TEXT, "content": 5}}, 422, "no text `content`"),
        ({"json": {"style": TEXT, "content": "*"}}, 422, "`content` is not valid base64"),
        ({"json": []}, 422, '"content": "<base64>", "style": "<base64>"'),
        ({"files": {**BOTH, "x": picture()}}, 400, "Too many files"),
        ({"files": {**BOTH, "style": b"no picture"}}, 422, "`style`: send a JPEG"),
        ({"files": {**BOTH, "style": b""}}, 422, "`style`: the image is empty"),
        ({"files": BOTH, "data": {"thresh": "1"}}, 422, "there are: threshold"),
        ({"files": {**BOTH, "threshold": picture()}}, 400, "Too many files"),
        ({"data": BOTH}, 415, "multipart/form-data"),
        ({}, 415, "the Content-Type is missing"),
    ],
)
async def test_a_missing_or_wrong_input_is_named_and_nothing_is_stored(api, sent, status, said):
    """No row, no file, no message."""
    answer = await api.client.post(BLEND, **sent)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert (await api.rows(), api.files(), api.queue.sent) == ([], [], [])


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"json": {}}, 422, "prompt"),
        ({"json": {"prompt": "x" * 101}}, 422, "prompt"),
        ({"json": {"prompt": "x", "size": "inf"}}, 422, "finite"),
        ({"content": b'{"prompt": "x", "size": NaN}', "headers": JSON}, 422, "finite"),
        ({"content": b'{"prompt": "\\ud800"}', "headers": JSON}, 422, "prompt"),
        ({"content": b"{", "headers": JSON}, 422, "not valid JSON"),
        ({"content": b"hello"}, 415, "as a form or in the query"),
        ({"files": {"prompt": b"file"}}, 400, "Too many files"),
        ({"content": b"prompt=%FF", "headers": FORM}, 422, "name=value"),
        ({"content": b"&" * 99, "headers": FORM}, 422, "name=value"),
        ({"data": {"prompt": ["a", "b"]}}, 422, "prompt"),
    ],
)
async def test_invalid_parameters_are_rejected(api, sent, status, said):
    """Whatever they are, they never become a 500."""
    answer = await api.client.post(PAINT, **sent)
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert await api.rows() == []


async def test_hostile_text_is_stored_unchanged(api):
    """Zero bytes, quotes, other scripts."""
    prompt = "\0'; DROP TABLE jobs; -- 🐘 {} %s"
    answer = await api.client.post(PAINT, json={"prompt": prompt})
    assert answer.status_code == 202
    view = (await api.client.get(answer.headers["Location"])).json()
    assert view["params"]["prompt"] == prompt


@pytest.mark.parametrize("name", [*corpus.STILL, *corpus.ANIMATED])
async def test_an_image_is_stored_with_the_media_type_of_its_bytes(api, name):
    """Whatever the client declares."""
    data = corpus.in_every_format()[name]
    headers = {"Content-Type": "image/x-hostile"}
    assert (await api.client.post(SHADE, content=data, headers=headers)).status_code == 202
    ((stored,),) = [job.inputs for job in await api.rows()]
    assert stored["media_type"].startswith("image/")
    assert stored["media_type"] != "image/x-hostile"
    assert stored["size"] == len(data)


async def test_the_same_key_with_the_same_request_gives_the_same_job(api):
    """In any body; it is stored once and sent once."""
    key = {KEY_HEADER: "a-key"}
    first = await api.client.post(SHADE, files={"image": picture()}, headers=key)
    again = await api.client.post(SHADE, json={"image": TEXT}, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert len(await api.rows()) == len(api.files()) == len(api.queue.sent) == 1


@pytest.mark.parametrize(
    ("path", "other"),
    [
        (SHADE, {"files": {"image": picture(colour="black")}}),
        (SHADE, {"files": {"image": picture()}, "data": {"threshold": "1"}}),
        (BLEND, {"files": BOTH}),
    ],
)
async def test_the_same_key_with_another_request_is_a_conflict(api, path, other):
    """Another picture, another parameter, another model."""
    key = {KEY_HEADER: "a-key"}
    await api.client.post(SHADE, files={"image": picture()}, headers=key)
    answer = await api.client.post(path, headers=key, **other)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:vitrine:problem:idempotency-conflict"
    assert len(await api.rows()) == len(api.files()) == 1


async def test_swapped_images_are_another_request(api):
    """The fingerprint includes their names."""
    key = {KEY_HEADER: "a-key"}
    await api.client.post(BLEND, files=BOTH, headers=key)
    swapped = {"content": BOTH["style"], "style": BOTH["content"]}
    assert (await api.client.post(BLEND, files=swapped, headers=key)).status_code == 422


async def test_concurrent_requests_with_one_key_add_one_job(api):
    """The others get its view, and leave no file."""
    headers = {KEY_HEADER: "a-key", **PNG}
    posts = [api.client.post(SHADE, content=picture(), headers=headers) for _ in range(8)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 7
    assert len(await api.rows()) == len(api.files()) == len(api.queue.sent) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ä", "\x7f", "a\tb"])
async def test_an_invalid_key_is_rejected(api, key):
    """1 to 255 visible ASCII characters."""
    headers = [(KEY_HEADER.encode(), key.encode("latin-1")), (b"Content-Type", b"image/png")]
    answer = await api.client.post(SHADE, content=picture(), headers=headers)
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {KEY_HEADER}
    assert await api.rows() == []


async def test_two_keys_are_rejected(api):
    """They are ambiguous."""
    headers = [(KEY_HEADER, "a"), (KEY_HEADER, "b"), ("Content-Type", "image/png")]
    answer = await api.client.post(SHADE, content=picture(), headers=headers)
    assert answer.status_code == 422


async def test_a_job_beyond_the_limit_is_refused(api):
    """503 with Retry-After, and nothing is stored; a known key still finds its job."""
    key = {KEY_HEADER: "a-key", **PNG}
    known = await api.submit(headers=key)
    for _ in range(7):
        await api.submit()
    answer = await api.client.post(SHADE, content=picture(), headers=PNG)
    assert (answer.status_code, answer.json()["title"]) == (503, "Overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    assert len(api.files()) == 8
    assert (await api.submit(headers=key))["id"] == known["id"]
    await api.client.delete(f"/v1/jobs/{known['id']}")
    await api.submit()


async def test_a_body_beyond_the_limit_is_rejected(tmp_path):
    """As for a prediction."""
    settings = job_settings(tmp_path, max_body_bytes=2048, max_image_pixels=4096)
    async with job_api(settings, tmp_path) as api:
        too_large = await api.client.post(SHADE, content=bytes(4096), headers=PNG)
        assert too_large.status_code == 413
        bomb = await api.client.post(SHADE, content=picture(size=(65, 65)), headers=PNG)
        assert bomb.status_code == 422
        assert "scale it down" in bomb.json()["detail"]
        assert (await api.rows(), api.files()) == ([], [])
