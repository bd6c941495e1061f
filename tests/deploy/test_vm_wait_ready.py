"""wait_ready.py of deploy/vm: when a start is complete, and what it prints when it is not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from drills.server import free_port
from tests.deploy.command import run
from tests.deploy.http_stub import StubServer, serve
from tests.deploy.vm_files import VM

SECONDS = 20  # a test's own time limit


@pytest.fixture
def answers() -> list[tuple[int, object]]:
    return []


@pytest.fixture
def stub(answers) -> Iterator[StubServer]:
    def respond(*_):
        status, document = answers[min(len(server.requests), len(answers)) - 1]
        return status, {"Connection": "close"}, json.dumps(document).encode()

    with serve(StubServer(respond)) as server:
        yield server


def wait(url: str, seconds: float, pid: int | str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "MAINPID": str(pid), "http_proxy": "http://[::1]:9"}
    command = [sys.executable, str(VM / "wait_ready.py"), url, "--seconds", str(seconds)]
    return run(*command, env=environment, timeout=SECONDS)


def failing(*names: str) -> tuple[int, object]:
    checks = {name: {"ok": False} for name in names} | {"model:other": {"ok": True}}
    return 503, {"status": "not ready", "checks": checks}


def test_it_returns_when_the_models_are_loaded(stub, answers):
    answers += [failing("model:classification"), (200, {})]
    done = wait(f"{stub.url}/ready", SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(stub.requests) == 2


def test_database_broker_and_storage_do_not_delay_a_start(stub, answers):
    answers += [failing("database", "broker", "storage")]
    done = wait(f"{stub.url}/ready", SECONDS)
    assert done.returncode == 0
    assert "database, broker, storage fails" in done.stderr


@pytest.mark.parametrize("names", [("model:a", "database"), ("shutdown",), ()])
def test_any_other_failing_check_is_not_ready(stub, answers, names):
    """It fails at the time limit with the last answer; it asks at most twice a second."""
    answers += [failing(*names)]
    done = wait(f"{stub.url}/ready", 1.0)
    assert done.returncode == 1
    assert "not ready within 1 s" in done.stderr
    assert all(name in done.stderr for name in names)
    assert 2 <= len(stub.requests) <= 4


def test_a_process_that_has_ended_is_not_waited_for():
    url = f"http://127.0.0.1:{free_port()}/ready"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(SECONDS)
    began = time.monotonic()
    done = wait(url, SECONDS, ended.pid)
    assert done.returncode == 1
    assert f"process {ended.pid} ended" in done.stderr
    assert time.monotonic() - began < SECONDS / 2
    done = wait(url, 0.6, os.getpid())
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
