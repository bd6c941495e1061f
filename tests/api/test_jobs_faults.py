"""Faults while submitting: a dependency is unavailable or full, or the client disconnects."""

import asyncio
import json
import resource
import shutil
import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.conftest import picture
from tests.fakes import ShadeModel, ShadeParams
from tests.job_api import BLEND, PNG, SHADE, JobApi, job_api, job_settings

pytestmark = pytest.mark.anyio
NOISE = b"P6 200 200 255\n" + bytes(range(256)) * 469  # 120 kB that decode


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


@contextmanager
def without_tables(api: JobApi):
    """A database without the table."""
    with closing(sqlite3.connect(api.folder / "jobs.db")) as other:
        other.execute("ALTER TABLE jobs RENAME TO away")
        try:
            yield
        finally:
            other.execute("ALTER TABLE away RENAME TO jobs")


@contextmanager
def without_storage(api: JobApi):
    """A file where the folder was."""
    folder = api.folder / "storage"
    folder.mkdir(exist_ok=True)
    shutil.move(folder, api.folder / "away")
    folder.write_text("no folder")
    try:
        yield
    finally:
        folder.unlink()
        shutil.move(api.folder / "away", folder)


class HeldModel(ShadeModel):
    """Holds the validation of a request until a test resumes it."""

    def __init__(self) -> None:
        super().__init__()
        self.validating = validating = threading.Event()
        self.resume = resume = threading.Event()

        class HeldParams(ShadeParams):
            def model_dump(self, **options: Any) -> dict[str, Any]:
                validating.set()
                resume.wait()
                return super().model_dump(**options)

        self.params = HeldParams


@contextmanager
def held_storage(api: JobApi, monkeypatch: pytest.MonkeyPatch):
    """Files are stored when `resume` is set; `begun` is set when the first would be."""
    storage = api.job_services.storage
    put, begun, resume = storage.put, asyncio.Event(), asyncio.Event()

    async def held(*arguments: Any) -> None:
        begun.set()
        await resume.wait()
        await put(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "put", held)
        yield begun, resume
        resume.set()


async def test_an_unavailable_database_is_a_503_of_every_route(api):
    """Nothing of a request is stored, and no restart is needed."""
    job_id = (await api.submit())["id"]
    asked = [
        ("POST", SHADE, {"content": picture(), "headers": PNG}),
        ("POST", SHADE, {"content": picture(), "headers": {"Idempotency-Key": "k", **PNG}}),
        ("GET", "/v1/jobs", {}),
        *(
            ("GET", f"/v1/jobs/{job_id}{end}", {})
            for end in ("", "/result", "/inputs/image", "/events")
        ),
        ("DELETE", f"/v1/jobs/{job_id}", {}),
        ("POST", f"/v1/jobs/{job_id}/retry", {}),
    ]
    with without_tables(api):
        for method, path, sent in asked:
            answer = await api.client.request(method, path, **sent)
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:vitrine:problem:database-unavailable"
        assert len(api.files()) == len(api.queue.sent) == 1
    await api.submit()
    assert len(await api.rows()) == len(api.files()) == len(api.queue.sent) == 2


async def test_an_unavailable_storage_is_a_503(api):
    """No row is added for a job whose images could not be stored."""
    with without_storage(api):
        answer = await api.client.post(SHADE, content=picture(), headers=PNG)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:vitrine:problem:storage-unavailable"
        assert await api.rows() == []
    await api.submit()


async def test_a_full_storage_keeps_neither_of_two_images(api, capsys):
    """The one that fitted is deleted."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    await api.submit()  # the database's files have their size
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        files = {"content": picture(), "style": NOISE}
        answer = await api.client.post(BLEND, files=files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.status_code == 503
    assert len(api.files()) == len(await api.rows()) == 1
    assert (await api.client.post(BLEND, files=files)).status_code == 202
    assert "job_inputs_left" not in capsys.readouterr().out


async def test_an_unavailable_broker_costs_no_job(api, capsys):
    """202: the row is the job, and a sweep of the workers sends it."""
    api.queue.down = True
    job_id = (await api.submit())["id"]
    (job,) = await api.rows()
    assert (job.id, job.sent_at) == (job_id, None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["message"] == "job_not_sent"]
    assert (line["severity"], line["job_id"], line["model"]) == ("WARNING", job_id, "shade")


async def test_log_lines_of_a_job_carry_the_ids_of_its_request(api, capsys):
    """Its row has them for the lines of its worker."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "X-Request-ID": "mine", **PNG}
    view = await api.submit(headers=headers)
    (job,) = await api.rows()
    assert (view["request_id"], view["trace_id"]) == ("mine", trace)
    assert (job.request_id, job.traceparent.split("-")[1]) == ("mine", trace)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for event in ("job_accepted", "request_served"):
        (line,) = [line for line in lines if line["message"] == event]
        assert (line["job_id"], line["model"]) == (job.id, "shade")
        assert (line["request_id"], line["trace_id"]) == ("mine", trace)


async def test_a_client_that_disconnects_during_validation_leaves_nothing(tmp_path):
    """The next request is accepted, although the limit is one."""
    model, disconnects = HeldModel(), asyncio.Event()
    async with job_api(job_settings(tmp_path, queue_limit=1), tmp_path, [model]) as api:
        request = asyncio.create_task(request_that_disconnects(api, disconnects))
        await asyncio.to_thread(model.validating.wait)
        disconnects.set()
        assert await request == 499
        assert (await api.rows(), api.files()) == ([], [])
        model.resume.set()
        await api.submit()


async def request_that_disconnects(api: JobApi, disconnects: asyncio.Event) -> int:
    """POST an image, then disconnect; returns the status that the client does not read."""
    statuses = []
    body = iter([{"type": "http.request", "body": picture(), "more_body": False}])

    async def receive():
        for message in body:
            return message
        await disconnects.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": SHADE,
        "raw_path": SHADE.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"image/png")],
        "client": ("test", 1),
        "server": ("test", 80),
    }
    await api.app(scope, receive, send)
    (status,) = statuses
    return status


async def test_a_submission_finishes_although_its_request_is_cancelled(api, monkeypatch):
    """The job exists whole, with its file and its message."""
    with held_storage(api, monkeypatch) as (begun, resume):
        request = asyncio.create_task(request_that_disconnects(api, asyncio.Event()))
        await begun.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert await api.rows() == []
        resume.set()
        await api.job_services.submission.close()
    (job,) = await api.rows()
    assert api.queue.sent == [job.id]
    assert api.files() == [item["key"] for item in job.inputs]


async def test_the_end_of_the_process_waits_for_submissions(tmp_path, monkeypatch):
    """Then it closes the database and the broker."""
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        with held_storage(api, monkeypatch) as (begun, resume):
            request = asyncio.create_task(request_that_disconnects(api, asyncio.Event()))
            await begun.wait()
            request.cancel()
            closing_down = asyncio.create_task(api.job_services.submission.close())
            await asyncio.sleep(0)
            assert not closing_down.done()
            resume.set()
            await closing_down
        assert len(await api.rows()) == 1
    assert api.queue.closed


async def test_too_many_validations_are_refused_at_once(tmp_path):
    """503 with Retry-After: their queue is bounded."""
    model = HeldModel()
    async with job_api(job_settings(tmp_path, queue_limit=1), tmp_path, [model]) as api:
        first = asyncio.create_task(api.submit())
        await asyncio.to_thread(model.validating.wait)
        answer = await api.client.post(SHADE, content=picture(), headers=PNG)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        model.resume.set()
        await first
