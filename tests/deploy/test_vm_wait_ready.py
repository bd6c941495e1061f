"""wait_ready.py of deploy/vm: a start comes back when the service serves, or says why not."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from drills.server import free_port
from tests.deploy.vm_files import VM

PATIENCE = 20  # seconds until a test gives up


class Stub(ThreadingHTTPServer):
    """answers: status and document, one after the other; the last one stays."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []
        self.asked = 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/ready"


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_GET(self) -> None:
        status, document = self.server.answers[min(self.server.asked, len(self.server.answers) - 1)]
        self.server.asked += 1
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nobody reads it."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def wait(url: str, seconds: float, pid: int | str = "") -> subprocess.CompletedProcess[str]:
    """What systemd runs; a proxy in the environment is none of its business."""
    surroundings = {"PATH": os.environ["PATH"], "MAINPID": str(pid), "http_proxy": "http://[::1]:9"}
    command = [sys.executable, str(VM / "wait_ready.py"), url, "--seconds", str(seconds)]
    return subprocess.run(
        command, capture_output=True, text=True, env=surroundings, timeout=PATIENCE, check=False
    )


def failing(*names: str) -> tuple[int, object]:
    """Readiness with these checks red, and one that is green."""
    checks = {name: {"ok": False} for name in names} | {"model:other": {"ok": True}}
    return 503, {"status": "not ready", "checks": checks}


def test_it_ends_when_the_models_are_loaded(stub):
    """Quietly."""
    stub.answers = [failing("model:classification"), (200, {})]
    done = wait(stub.url, PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert stub.asked == 2


def test_neighbours_that_are_away_hold_up_no_start(stub):
    """Predictions need none of them; the line says what is missing."""
    stub.answers = [failing("database", "broker", "storage")]
    done = wait(stub.url, PATIENCE)
    assert done.returncode == 0
    assert "database, broker, storage fails" in done.stderr


@pytest.mark.parametrize("names", [("model:a", "database"), ("shutdown",), ()])
def test_anything_else_that_is_red_is_not_ready(stub, names):
    """At the limit it fails, with what it saw last."""
    stub.answers = [failing(*names)]
    done = wait(stub.url, 0.6)
    assert done.returncode == 1
    assert "not ready within 0.6 s" in done.stderr
    assert all(name in done.stderr for name in names)


def test_it_asks_no_more_than_it_must(stub):
    """Twice a second at most, as the models are loading on the same processors."""
    stub.answers = [failing("model:a")]
    wait(stub.url, 1.0)
    assert 2 <= stub.asked <= 4


def test_a_process_that_has_ended_is_not_waited_for():
    """The rest of the limit would be lost time, and systemd would not end it either."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(PATIENCE)
    began = time.monotonic()
    done = wait(f"http://127.0.0.1:{free_port()}/ready", PATIENCE, ended.pid)
    assert done.returncode == 1
    assert f"process {ended.pid} ended" in done.stderr
    assert time.monotonic() - began < PATIENCE / 2


def test_one_that_lives_and_does_not_answer_is(stub):
    """Until the limit."""
    done = wait(f"http://127.0.0.1:{free_port()}/ready", 0.6, os.getpid())
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
