"""What jobs need is gone, full or late, or the caller is: said so, nothing half done, then over."""

import asyncio
import json
import resource
import shutil
import sqlite3
import threading
from contextlib import closing, contextmanager

import pytest

from project.storage.base import MAX_THREADS
from tests.conftest import picture
from tests.job_api import BLEND, PNG, SHADE, JobApi, job_api, job_settings

pytestmark = pytest.mark.anyio
NOISE = b"P6 200 200 255\n" + bytes(range(256)) * 469  # 120 kB that decode


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


@contextmanager
def without_tables(api: JobApi):
    """The database as an old release has left it."""
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


@contextmanager
def busy_storage(api: JobApi):
    """Every thread of the storage has something else to do."""
    done = threading.Event()
    for _ in range(MAX_THREADS):
        api.desk.storage._threads.submit(done.wait)
    try:
        yield done
    finally:
        done.set()


async def until(holds) -> None:
    """Give the other tasks their turns until this holds."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what it looks at tells nobody of its changes
            await asyncio.sleep(0)


async def test_a_database_that_is_gone_is_a_503_everywhere_and_then_over(api):
    """With nothing kept of what was sent, and no restart."""
    job_id = (await api.submit())["id"]
    asked = [
        ("POST", SHADE, {"content": picture(), "headers": PNG}),
        ("POST", SHADE, {"content": picture(), "headers": {"Idempotency-Key": "k", **PNG}}),
        ("GET", "/v1/jobs", {}),
        *(("GET", f"/v1/jobs/{job_id}{end}", {}) for end in ("", "/result", "/events")),
        ("DELETE", f"/v1/jobs/{job_id}", {}),
        ("POST", f"/v1/jobs/{job_id}/retry", {}),
    ]
    with without_tables(api):
        for method, path, sent in asked:
            answer = await api.client.request(method, path, **sent)
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:vitrine:problem:database-unavailable"
        assert len(api.files()) == len(api.sender.sent) == 1
    await api.submit()
    assert len(await api.rows()) == len(api.files()) == len(api.sender.sent) == 2


async def test_a_storage_that_is_gone_is_a_503_and_then_over(api):
    """No row is written for a job whose files could not be kept."""
    with without_storage(api):
        answer = await api.client.post(SHADE, content=picture(), headers=PNG)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:vitrine:problem:storage-unavailable"
        assert await api.rows() == []
    await api.submit()


async def test_a_storage_that_is_full_keeps_neither_of_two_pictures(api, capsys):
    """The one that fitted is deleted again."""
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


async def test_a_broker_that_is_gone_costs_nobody_a_job(api, capsys):
    """202: the row is the job, and the workers look for those that were not sent."""
    api.sender.gone = True
    job_id = (await api.submit())["id"]
    (job,) = await api.rows()
    assert (job.id, job.sent_at) == (job_id, None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["message"] == "job_not_sent"]
    assert (line["severity"], line["job_id"], line["model"]) == ("WARNING", job_id, "shade")


async def test_log_lines_of_a_job_carry_the_ids_of_its_request(api, capsys):
    """And its row the same trace, so that its worker's lines do too."""
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


async def test_a_caller_who_hangs_up_while_it_is_examined_leaves_nothing(api):
    """Nobody computes for him, and the next caller finds room."""
    done, asked = threading.Event(), asyncio.Event()
    for _ in range(api.desk.intake._threads._max_workers):
        api.desk.intake._threads.submit(done.wait)
    hung_up = asyncio.create_task(request_that_hangs_up(api, asked))
    await until(lambda: api.desk.intake._examined == 1)
    asked.set()
    assert await hung_up == 499
    assert api.desk.intake._examined == 0
    done.set()
    assert (await api.rows(), api.files()) == ([], [])
    await api.submit()


async def request_that_hangs_up(api: JobApi, leaves: asyncio.Event) -> int:
    """POST a picture whole, then leave; returns the status that nobody read."""
    statuses = []
    body = iter([{"type": "http.request", "body": picture(), "more_body": False}])

    async def receive():
        for message in body:
            return message
        await leaves.wait()
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


async def test_what_was_begun_is_ended_though_its_request_is_cancelled(api):
    """As at the end of a worker: the job is there whole, with its file and its message."""
    with busy_storage(api) as done:
        never = asyncio.Event()
        request = asyncio.create_task(request_that_hangs_up(api, never))
        await until(lambda: api.desk.intake._under_way)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert await api.rows() == []
        done.set()
        await asyncio.gather(*api.desk.intake._under_way)
    (job,) = await api.rows()
    assert api.sender.sent == [job.id]
    assert api.files() == [item["key"] for item in job.inputs]


async def test_the_end_of_a_worker_waits_for_what_it_takes_in(tmp_path):
    """The database is closed after the last job is kept, and so is the broker."""
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        with busy_storage(api) as done:
            request = asyncio.create_task(request_that_hangs_up(api, asyncio.Event()))
            await until(lambda: api.desk.intake._under_way)
            request.cancel()
            closing_down = asyncio.create_task(api.desk.intake.close())
            await asyncio.sleep(0)
            assert not closing_down.done()
            done.set()
            await closing_down
        assert len(await api.rows()) == 1
    assert api.sender.closed


async def test_too_many_to_examine_are_refused_at_once(tmp_path):
    """No queue is without an end."""
    async with job_api(job_settings(tmp_path, queue_limit=1), tmp_path) as api:
        done = threading.Event()
        for _ in range(api.desk.intake._threads._max_workers):
            api.desk.intake._threads.submit(done.wait)
        first = asyncio.create_task(api.submit())
        await until(lambda: api.desk.intake._examined == 1)
        answer = await api.client.post(SHADE, content=picture(), headers=PNG)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        done.set()
        await first
