"""Drift over all workers of a real server: none of them is forgotten when it dies."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx2

from drills.server import Server
from drills.waiting import DEADLINE, wait_until
from project.inference.drift.baseline import path_of
from project.inference.drift.build import build_baseline
from tests.conftest import picture
from tests.drift_samples import predictions
from tests.services.quick_app import PATH
from tests.services.server import serve

SENT = 60


def send(server: Server) -> None:
    """White pictures over many connections, so that both workers have some."""
    body, headers = picture(), {"content-type": "image/png"}

    def ask(_number: int) -> int:
        url = f"{server.url}{PATH}"
        return httpx2.post(url, content=body, headers=headers, timeout=DEADLINE).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(SENT))) == {200}


def samples(server: Server) -> float:
    return server.metrics().value("drift_window_samples", model="shade")


def test_what_a_worker_has_counted_outlives_it(tmp_path):
    """Killed without a word, its counts stay, and its successor adds to them."""
    path_of("shade", tmp_path).write_text(
        build_baseline("shade", "1", predictions()).model_dump_json()
    )
    with serve(tmp_path, WEB_CONCURRENCY=2, DRIFT_BASELINE_DIR=tmp_path) as server:
        assert samples(server) == 0
        send(server)
        files = sorted(path.name for path in server.metrics_directory.glob("*.drift"))
        assert files == ["shade.0.drift", "shade.1.drift"]
        assert samples(server) == SENT
        assert server.metrics().value("drift_psi", model="shade", feature="brightness") > 0.25
        ready = server.log().count("worker_ready")
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.log().count("worker_ready") == ready + 2, "both are replaced")
        assert samples(server) == SENT
        send(server)
        assert samples(server) == 2 * SENT
    with serve(tmp_path, WEB_CONCURRENCY=1, DRIFT_BASELINE_DIR=tmp_path) as server:
        assert samples(server) == 0  # another run
