"""Workers that make way: no connection waits for a successor, and one that hangs is replaced."""

import signal

import httpx2

from drills.waiting import wait_until
from tests.services.load import Client
from tests.services.server import serve


def test_old_workers_serve_until_a_new_one_has_loaded_its_models(tmp_path):
    """Loading takes seconds, and requests that arrive meanwhile must not wait for it."""
    weights = tmp_path / "weights"
    weights.touch()
    with serve(tmp_path, REVISION=f"wait:{weights}") as server:
        weights.unlink()
        server.signal(signal.SIGHUP)
        wait_until(lambda: len(server.workers()) == 4, "the new workers are there")
        for _ in range(20):  # each on a connection of its own
            assert httpx2.get(f"{server.url}/ready", timeout=30).status_code == 200
        assert len(server.records("worker_ready")) == 2
        weights.touch()
        wait_until(lambda: len(server.records("worker_stopped")) == 2, "the old ones have left")
        assert httpx2.get(f"{server.url}/ready", timeout=30).status_code == 200


def test_a_worker_told_to_go_alone_does_not_turn_the_server_red(tmp_path):
    """One worker fewer is no shutdown: a balancer must not take the instance out."""
    with serve(tmp_path, SHUTDOWN_DELAY_SECONDS=10) as server:
        server.signal(signal.SIGTTOU)
        statuses = set()

        def gone() -> bool:
            statuses.add(httpx2.get(f"{server.url}/ready", timeout=30).status_code)
            return len(server.records("worker_stopped")) == 1

        wait_until(gone, "one worker has left")
        assert statuses == {200}


def test_a_worker_whose_forward_pass_hangs_is_replaced(tmp_path):
    """Nothing can stop a thread inside native code but the end of its process."""
    settings = {
        "PREDICTION_DEADLINE_SECONDS": 0.2,
        "GRACEFUL_TIMEOUT_SECONDS": 7,
        "WORKER_TIMEOUT_SECONDS": 8,
        "WEB_CONCURRENCY": 1,
    }
    with serve(tmp_path, REVISION="hang", **settings) as server:
        (worker,) = server.workers()
        client = Client(server.port)
        assert client.predict().status == 504
        client.close()
        wait_until(lambda: len(server.records("worker_ready")) == 2, "the worker is replaced")
        assert server.workers() != [worker]
        assert server.metrics().value("server_worker_exits_total", reason="timeout") == 1
