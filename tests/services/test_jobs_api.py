"""The API of jobs in a real server with a real broker: sending, outages, streams at shutdown."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import httpx2
import pytest

from drills.server import Server
from drills.valkey import Valkey
from project.api.jobs import events
from project.jobs.queue import QueueReader
from tests.conftest import picture
from tests.services.server import serve

SHADE = "/v1/models/shade/jobs"
STREAMS = 12
COMMENT = events.COMMENT.strip()


@pytest.fixture
def server(tmp_path: Path, valkey: Valkey) -> Iterator[Server]:
    """A server with jobs on and no worker, so that each job waits."""
    settings = {
        "JOBS": "on",
        "REDIS_URL": valkey.url,
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/jobs.db",
        "STORAGE_URL": f"file:{tmp_path}/storage",
    }
    with serve(tmp_path, **settings) as server:
        yield server


def submit(server: Server) -> str:
    answer = httpx2.post(f"{server.url}{SHADE}", files={"image": picture()}, timeout=60)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def metadata(server: Server) -> dict[str, Any]:
    return httpx2.get(f"{server.url}/metadata", timeout=60).json()


def follow(server: Server, job_id: str, stack: ExitStack, **headers: str) -> HTTPResponse:
    """An open stream of events, over a connection of its own."""
    connection = stack.enter_context(closing(HTTPConnection("127.0.0.1", server.port, timeout=60)))
    connection.request("GET", f"/v1/jobs/{job_id}/events", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    return answer


def event(stream: HTTPResponse) -> list[str]:
    """The lines of the next event; a stream that is silent for long has comments before it."""
    lines = (line.decode().strip() for line in stream)
    first = next(line for line in lines if line not in {COMMENT, ""})
    return [first, *(next(lines) for _ in range(3))]


def rest(stream: HTTPResponse) -> set[str]:
    """The lines until the end, without comments; IncompleteRead if the end is missing."""
    return set(stream.read().decode().splitlines()) - {COMMENT, ""}


def test_a_job_reaches_the_broker_and_outlives_its_absence(server, valkey):
    """202 while the broker is down; readiness names it, and recovers without a restart."""
    first = submit(server)
    assert QueueReader(valkey.client()).waiting_jobs(["shade"]).keys() == {first}
    valkey.kill()
    second = submit(server)
    red = httpx2.get(f"{server.url}/ready", timeout=60)
    failing = {name for name, check in red.json()["checks"].items() if not check["ok"]}
    assert (red.status_code, failing) == (503, {"broker"})
    assert [line["job_id"] for line in server.records("job_not_sent")] == [second]
    assert metadata(server)["queues"] is None
    valkey.start()
    assert httpx2.get(f"{server.url}/ready", timeout=60).status_code == 200
    third = submit(server)
    waiting = QueueReader(valkey.client()).waiting_jobs(["shade"])
    assert third in waiting
    assert metadata(server)["queues"]["shade"]["ready"] == len(waiting)
    listed = httpx2.get(f"{server.url}/v1/jobs", timeout=60).json()["jobs"]
    assert [job["id"] for job in listed] == [third, second, first]


def test_open_streams_do_not_delay_the_shutdown(server):
    """Each ends with its last chunk, and no task is cancelled."""
    job_id = submit(server)
    with ExitStack() as stack:
        streams = [follow(server, job_id, stack) for _ in range(STREAMS)]
        for stream in streams:
            assert event(stream)[0] == "event: job"
        server.signal(signal.SIGTERM)
        for stream in streams:
            assert rest(stream) == set()
    assert server.stop() == 0
    assert "timeout graceful shutdown exceeded" not in server.log()
    assert len(server.records("worker_stopped")) == 2


def test_after_a_reload_a_stream_resumes_after_its_last_event(server):
    """Old workers end their streams; a new one resumes without a repetition."""
    job_id = submit(server)
    with ExitStack() as stack:
        stream = follow(server, job_id, stack)
        _, number, _, _ = event(stream)
        server.reload()
        assert rest(stream) == set()
        seen = number.removeprefix("id: ")
        again = follow(server, job_id, stack, **{"Last-Event-ID": seen})
        assert httpx2.delete(f"{server.url}/v1/jobs/{job_id}", timeout=60).status_code == 200
        kind, number, data, _ = event(again)
        assert (kind, int(number.removeprefix("id: ")) > int(seen)) == ("event: job", True)
        assert '"status":"cancelled"' in data
        assert rest(again) == set()
