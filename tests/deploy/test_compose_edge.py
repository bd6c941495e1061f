"""edge/nginx.conf in a real nginx, in front of a stub of the API."""

import json
import re
import socket

import httpx2
import pytest

from drills.server import free_port
from drills.waiting import DEADLINE, wait_until
from tests.deploy.compose_edge import TEXT, running
from tests.deploy.http_stub import StubApi, serve


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture
def api(port):
    with serve(StubApi(port)) as stub:
        yield stub


@pytest.fixture(scope="module")
def edge(tmp_path_factory, port):
    """A client of an nginx with the shipped file."""
    folder = tmp_path_factory.mktemp("edge")
    with (
        running(folder, port) as public,
        httpx2.Client(base_url=f"http://127.0.0.1:{public}", timeout=DEADLINE) as client,
    ):
        yield client


def test_the_client_cannot_choose_its_address(edge, api):
    """The API gets the real one, and the name that the client asked for."""
    answer = edge.get("/x", headers={"X-Forwarded-For": "10.9.8.7"})
    headers = {name.lower(): value for name, value in answer.json()["headers"].items()}
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["host"] == f"127.0.0.1:{edge.base_url.port}"


def test_the_api_judges_bodies_and_its_answers_pass_unchanged(edge, api):
    assert edge.post("/x", content=b"x" * (20 * 2**20)).json()["bytes"] == 20 * 2**20
    answer = edge.get("/busy")
    assert answer.status_code == 503
    assert "headers" in answer.json()


def test_events_pass_one_by_one(edge, api):
    with edge.stream("GET", "/v1/jobs/1/events") as answer:
        parts = answer.iter_text()
        assert "id: 1" in next(parts)
        api.resume.set()
        assert "id: 2" in "".join(parts)


def test_a_websocket_passes_and_no_other_upgrade(edge, api):
    """With the host as the client wrote it, which the API compares with Origin."""
    host = f"127.0.0.1:{edge.base_url.port}"
    lines = (f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", "", "")
    head = "\r\n".join(("GET /v1/models/detection/stream HTTP/1.1", *lines))
    with socket.create_connection(("127.0.0.1", edge.base_url.port), DEADLINE) as stream:
        stream.sendall(head.encode())
        assert b" 101 " in stream.recv(1000)
        stream.sendall(b"frame")
        assert stream.recv(100) == b"frame"
    assert api.requests[-1].headers["Host"] == host
    answer = edge.get("/", headers={"Upgrade": "h2c", "Connection": "Upgrade"})
    assert not {"Upgrade", "Connection"} & set(answer.json()["headers"])


def test_without_an_api_the_answer_is_a_problem_document_until_one_is_back(edge, port):
    """With Retry-After; a new API is found within the time that nginx avoids a failed one."""
    answer = edge.get("/x")
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert json.loads(answer.text)["status"] == 503
    (seconds,) = re.findall(r"fail_timeout=(\d+)s", TEXT)
    with serve(StubApi(port)):
        wait_until(
            lambda: edge.get("/x").status_code == 200, "the API is found", 2 * int(seconds) + 1
        )
