"""Requests that die with their worker are counted: those, and no others."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2
import pytest

from tests.services.server import DEADLINE, Server, serve, wait_until

IN_FLIGHT = 12
SECONDS = 3  # that each takes: longer than it takes to see that all are there


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "WEB_CONCURRENCY": 2,
        "WORKER_TIMEOUT_SECONDS": 11,
        "GRACEFUL_TIMEOUT_SECONDS": 10,  # of which some seconds are for the end
        "PREDICTION_DEADLINE_SECONDS": 1,
    }
    folder = tmp_path_factory.mktemp("lost")
    with serve(folder, app="tests.services.light_app:app", **settings) as server:
        yield server


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        yield pool


def ask(server: Server) -> bool:
    """Whether a slow request got an answer."""
    try:
        answer = httpx2.get(f"{server.url}/work", params={"seconds": SECONDS}, timeout=DEADLINE)
    except httpx2.TransportError:
        return False
    assert answer.status_code == 200
    return True


def in_flight(server: Server, pool: ThreadPoolExecutor) -> list[Future[bool]]:
    """Slow requests, all of them being answered now."""
    asked = [pool.submit(ask, server) for _ in range(IN_FLIGHT)]
    wait_until(
        lambda: server.metrics().value("http_requests_inprogress") == IN_FLIGHT, "all are there"
    )
    return asked


def replace(server: Server, number: int) -> None:
    """Send one worker a signal, and wait for its successor."""
    ready = server.log().count("worker_ready")
    os.kill(server.workers()[0], number)
    wait_until(lambda: server.log().count("worker_ready") > ready, "another worker is ready")


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP],
    ids=["killed", "crash", "timeout"],
)
def test_exactly_the_requests_that_got_no_answer_are_counted(server, pool, number):
    """The objective for availability sees what no counter in the worker can."""
    before = server.metrics()
    asked = in_flight(server, pool)
    replace(server, number)
    answered = sum(future.result(DEADLINE) for future in asked)
    assert 0 < answered < IN_FLIGHT
    after = server.metrics()
    lost = IN_FLIGHT - answered
    for name, more in {"http_requests_lost_total": lost, "http_requests_total": answered}.items():
        assert after.value(name, **counted(name)) - before.value(name, **counted(name)) == more
    assert after.value("http_requests_inprogress") == 0


def counted(name: str) -> dict[str, str]:
    """The labels of what these requests are counted under."""
    return {"handler": "/work"} if name == "http_requests_total" else {}


def test_a_worker_that_is_told_to_stop_loses_nothing(server, pool):
    """It finishes what it has."""
    before = server.metrics().value("http_requests_lost_total")
    asked = in_flight(server, pool)
    replace(server, signal.SIGTERM)
    assert all(future.result(DEADLINE) for future in asked)
    assert server.metrics().value("http_requests_lost_total") == before


def test_the_counter_is_there_before_anything_is_lost(server):
    """An alert sees 0, not nothing."""
    assert ("http_requests_lost_total", ()) in server.metrics().series
