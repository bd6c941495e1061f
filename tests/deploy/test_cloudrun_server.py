"""The product with the API's environment on Cloud Run: what it logs, serves and does at its end."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import datetime

import httpx2
import pytest

from drills.server import Server, free_port, serve
from tests.deploy.cloudrun import IMAGE, KILL_SECONDS, VALUES, container, environment, rendered
from tests.photos import photo

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# As Cloud Run's front end adds them to a request; the product reads the first.
HEADERS = {
    "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    "X-Cloud-Trace-Context": f"{TRACE}/67667974448284343;o=1",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
}
ADDED = "logging.googleapis.com/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It, on ports of this machine, and without jobs, which need what is not here."""
    given = IMAGE | environment(container(rendered("service.yaml"), "api"))
    given |= {"HOST": "127.0.0.1", "METRICS_PORT": str(free_port()), "JOBS": "off"}
    given |= {"LOG_FORMAT": "auto", "WEB_CONCURRENCY": "1", "INFERENCE_BACKEND": "torch"}
    with serve(tmp_path_factory.mktemp("cloudrun"), **given) as running:
        yield running


@pytest.fixture(scope="module")
def lines(server: Server) -> list[dict[str, object]]:
    """What it logged after a prediction, a refusal and a question for nothing."""
    url = f"{server.url}/v1/models/classification/predictions"
    for body in (photo("chelsea").read_bytes(), b"nope"):
        httpx2.post(url, files={"image": body}, headers=HEADERS)
    httpx2.get(f"{server.url}/nowhere", headers=HEADERS)
    return [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]


def served(lines):
    """The lines of requests."""
    return [line for line in lines if line["message"] == "request_served"]


def test_every_line_is_one_that_cloud_logging_takes_apart(lines):
    """JSON with a severity that it knows, a message, and a time with its zone."""
    assert len(lines) > 4
    for line in lines:
        assert line["severity"] in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        assert line["message"]
        assert datetime.fromisoformat(str(line["time"])).utcoffset() is not None


def test_a_line_of_a_request_leads_to_its_trace(lines):
    """The one that Cloud Run began, so that its own line of the request stands beside ours."""
    assert [line["status"] for line in served(lines)] == [200, 422, 404]
    for line in served(lines):
        assert line[f"{ADDED}trace"] == f"projects/{VALUES['PROJECT_ID']}/traces/{TRACE}"
        assert line[f"{ADDED}spanId"] == line["span_id"]
        assert len(str(line["span_id"])) == 16


def test_a_line_of_no_request_names_no_trace(lines):
    """A link to nowhere is worse than none."""
    starts = [line for line in lines if line["message"] in {"server_starting", "worker_ready"}]
    assert starts
    assert not any(name.startswith(ADDED) for line in starts for name in line)


def test_the_caller_is_the_one_whom_the_front_end_names(lines):
    """Not the front end itself."""
    assert {line["client"] for line in served(lines)} == {"203.0.113.7"}


def test_metrics_are_on_their_port_without_a_detour(server):
    """The sidecar follows no redirect; the public port knows nothing of metrics."""
    url = f"http://127.0.0.1:{server.metrics_port}/metrics"
    answer = httpx2.get(url, follow_redirects=False)
    assert answer.status_code == 200
    assert "server_workers" in answer.text
    assert httpx2.get(f"{server.url}/metrics").status_code == 404


def test_it_has_ended_before_it_is_killed(server, lines):
    """With a prediction behind it and an idle connection still open."""
    with httpx2.Client() as client:
        assert client.get(f"{server.url}/health").status_code == 200
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait(KILL_SECONDS) == 0
    assert time.monotonic() - began < KILL_SECONDS
    assert '"worker_stopped"' in server.log()
