"""Every end of a worker is counted by its reason, and another takes its place."""

import os
import signal
from collections.abc import Callable, Iterator

import httpx2
import pytest

from drills.server import Server
from drills.waiting import DEADLINE, wait_until
from project.observability.metrics import EXITS
from tests.services.server import serve

WORKERS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "WEB_CONCURRENCY": WORKERS,
        "WORKER_TIMEOUT_SECONDS": 8,
        "GRACEFUL_TIMEOUT_SECONDS": 7,
        "PREDICTION_DEADLINE_SECONDS": 1,
    }
    folder = tmp_path_factory.mktemp("exits")
    with serve(folder, app="tests.services.light_app:app", **settings) as server:
        yield server


def exit_in_code(server: Server) -> None:
    """Whichever worker takes the request ends with this status, as native code may."""
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(f"{server.url}/end", params={"code": 7}, timeout=DEADLINE)


def send(number: int) -> Callable[[Server], None]:
    return lambda server: os.kill(server.workers()[0], number)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (send(signal.SIGKILL), "killed"),
        (send(signal.SIGSEGV), "crash"),
        (exit_in_code, "crash"),
        (send(signal.SIGTERM), "clean"),
        (send(signal.SIGSTOP), "timeout"),
    ],
    ids=["SIGKILL", "SIGSEGV", "status 7", "SIGTERM", "hangs"],
)
def test_a_workers_end_is_counted_by_its_reason_and_the_worker_replaced(server, end, reason):
    """Out of memory, a crash in native code, a hang: each is an alert of its own."""
    before = {name: exits(server, name) for name in EXITS}
    ready = server.log().count("worker_ready")
    end(server)
    wait_until(lambda: exits(server, reason) > before[reason], f"an exit counts as {reason}")
    wait_until(lambda: server.log().count("worker_ready") > ready, "another worker is ready")
    assert {name: exits(server, name) for name in EXITS} == before | {reason: before[reason] + 1}
    assert len(server.workers()) == WORKERS
    assert server.metrics().value("server_workers") == WORKERS


def exits(server: Server, reason: str) -> float:
    """The count so far; a scrape that the ending worker had taken is made again."""
    return wait_until(lambda: _scrape(server), "a worker answers").value(
        "server_worker_exits_total", reason=reason
    )


def _scrape(server: Server):
    try:
        return server.metrics()
    except httpx2.TransportError:
        return None
