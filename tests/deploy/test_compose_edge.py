"""edge/nginx.conf in a real nginx, in front of a server of ours."""

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from drills.programs import ready
from drills.server import free_port
from drills.waiting import DEADLINE, wait_until
from tests.deploy.compose import FOLDER
from tests.ops.tools import need


class _Api(BaseHTTPRequestHandler):
    """Answers with what it was asked; /events sends a line and waits to be told to go on."""

    protocol_version = "HTTP/1.1"
    go_on = threading.Event()

    def do_GET(self):
        if self.path == "/events":
            self.send_response(200)
            self.send_header("X-Accel-Buffering", "no")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"first\n")
            self.go_on.wait(DEADLINE)
            self.wfile.write(b"second\n")
            self.close_connection = True
            return
        self._tell(0)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self._tell(len(self.rfile.read(length)))

    def _tell(self, length):
        told = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"headers": told, "bytes": length}).encode()
        self.send_response(503 if self.path == "/busy" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving_api(port):
    """Our server, for the length of the body."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Api)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)


@pytest.fixture(scope="module")
def ports():
    """The edge's, the API's, and the health check's."""
    return free_port(), free_port(), free_port()


@pytest.fixture(scope="module")
def edge(tmp_path_factory, ports):
    """The address of an nginx with the shipped file, but for addresses.

    Older ones than the image's do not resolve names of upstreams again, so `resolve` goes too.
    """
    folder = tmp_path_factory.mktemp("edge")
    public, api, health = ports
    text = (FOLDER / "edge/nginx.conf").read_text()
    for old, new in {
        "resolver RESOLVER valid=2s ipv6=off;": "",
        "server api:8000 resolve ": f"server 127.0.0.1:{api} ",
        "listen 8000;": f"listen 127.0.0.1:{public};",
        "listen 127.0.0.1:8001;": f"listen 127.0.0.1:{health};",
        "/tmp/": f"{folder}/",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    command = [need("nginx"), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: ready(f"http://127.0.0.1:{health}", "/"), "nginx answers")
        yield f"http://127.0.0.1:{public}"
    finally:
        process.terminate()
        process.wait(DEADLINE)


def ask(url, body=None, **headers):
    """Status, headers and body of an answer, whatever it is."""
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_what_a_caller_claims_of_its_address_is_not_believed(edge, ports):
    """The API reads the real one, and the name under which it was asked."""
    with serving_api(ports[1]):
        status, _, body = ask(f"{edge}/x", **{"X-Forwarded-For": "10.9.8.7"})
    seen = json.loads(body)["headers"]
    assert status == 200
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["host"] == edge.removeprefix("http://")


def test_a_large_body_reaches_the_api(edge, ports):
    """Which has a limit of its own, and says so in a problem document."""
    with serving_api(ports[1]):
        status, _, body = ask(f"{edge}/x", b"x" * (20 * 2**20))
    assert (status, json.loads(body)["bytes"]) == (200, 20 * 2**20)


def test_an_answer_of_the_api_passes_as_it_is(edge, ports):
    """Its 503 says more than one of nginx could."""
    with serving_api(ports[1]):
        status, _, body = ask(f"{edge}/busy")
    assert status == 503
    assert "headers" in json.loads(body)


def test_events_pass_one_by_one(edge, ports):
    """The first is there before the second is sent."""
    _Api.go_on.clear()
    with (
        serving_api(ports[1]),
        urllib.request.urlopen(f"{edge}/events", timeout=DEADLINE) as answer,
    ):
        assert answer.readline() == b"first\n"
        _Api.go_on.set()
        assert answer.readline() == b"second\n"


def test_no_api_is_a_problem_document_that_says_when_to_try_again(edge):
    """While one is replaced; and the next that comes is found at once, or nearly."""
    status, headers, body = ask(f"{edge}/x")
    assert status == 503
    assert headers["Content-Type"] == "application/problem+json"
    assert int(headers["Retry-After"]) > 0
    assert json.loads(body)["status"] == 503


def test_an_api_that_comes_back_is_found(edge, ports):
    """Within the seconds that nginx leaves one alone after a failure."""
    assert ask(f"{edge}/x")[0] == 503
    (seconds,) = re.findall(r"fail_timeout=(\d+)s", (FOLDER / "edge/nginx.conf").read_text())
    with serving_api(ports[1]):
        wait_until(lambda: ask(f"{edge}/x")[0] == 200, "the API is found", 2 * int(seconds) + 1)
