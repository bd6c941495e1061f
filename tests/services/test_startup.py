"""What keeps a server from starting, said in one line each; and what does not."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from drills.server import ROOT, end, free_port, launch
from drills.waiting import DEADLINE, wait_until
from tests.services.load import Client
from tests.services.postgres import run_postgres
from tests.services.server import serve


@contextmanager
def failing(folder: Path, **settings: object) -> Iterator[list[str]]:
    """The lines that a server writes which does not start."""
    server = launch(folder, app=None, **settings)
    try:
        assert server.wait(DEADLINE) not in {0, None}
        assert "Traceback" not in server.log()
        yield server.log().splitlines()
    finally:
        end(server)


def test_every_wrong_setting_is_named_on_a_line_of_its_own(tmp_path: Path):
    """All at once, with what each should be, and without showing a secret."""
    settings = {
        "PORT": 70000,
        "WEB_CONCURRENCY": "many",
        "LOG_LEVEL": "LOUD",
        "METRICS_TOKEN": "hush-hush",
    }
    with failing(tmp_path, **settings) as lines:
        assert lines[0] == "Wrong settings:"
        assert {line.partition(":")[0] for line in lines[1:]} == set(settings)
        assert len(lines) == 1 + len(settings)
        assert "hush-hush" not in "\n".join(lines)


def test_settings_that_do_not_fit_together_are_explained(tmp_path: Path):
    """The line says which of the two to change."""
    with failing(tmp_path, WORKER_TIMEOUT_SECONDS=10) as lines:
        assert lines == [
            "Wrong settings:",
            "WORKER_TIMEOUT_SECONDS: must exceed GRACEFUL_TIMEOUT_SECONDS",
        ]


def test_an_unknown_model_is_named_with_those_that_there_are(tmp_path: Path):
    """A typing error in MODELS."""
    with failing(tmp_path, MODELS="clasification") as lines:
        (line,) = lines
        assert line.startswith("MODELS: no file project/models/clasification.py")
        there_are = line.partition("there are: ")[2].split(", ")
        assert "classification" in there_are
        assert there_are == sorted(
            path.stem for path in (ROOT / "project/models").glob("[a-z]*.py")
        )


@pytest.mark.parametrize("variable", ["PORT", "METRICS_PORT"])
def test_a_port_that_is_taken_is_named_with_the_setting_to_change(tmp_path: Path, variable):
    """Gunicorn alone would try again for a while and then give up with less to say."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with failing(tmp_path, **{variable: port}) as lines:
            (line,) = lines
            assert line.startswith(f"port {port} is taken")
            assert f"{variable}=" in line


def test_production_demands_a_guard_on_the_metrics(tmp_path: Path):
    """Nothing secret has a usable default outside local."""
    with failing(tmp_path, ENVIRONMENT="production") as lines:
        assert lines[0] == "Wrong settings:"
        (line,) = lines[1:]
        assert line.startswith("METRICS_TOKEN: missing with ENVIRONMENT=production")
        assert "METRICS_PORT" in line


def with_jobs(folder: Path, database_url: str) -> dict[str, object]:
    """What a server needs that takes jobs; none is sent or run here."""
    return {
        "JOBS": "on",
        "DATABASE_URL": database_url,
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "STORAGE_URL": f"file:{folder}/storage",
        "STORAGE_SECRET": "the secret of this test",
    }


def test_a_database_that_comes_late_is_waited_for(tmp_path: Path):
    """Containers start in any order; the first one need not restart."""
    with run_postgres() as postgres:
        url = postgres.new_database()
        postgres.stop()
        server = launch(tmp_path, app=None, **with_jobs(tmp_path, url))
        try:
            wait_until(lambda: "database_unavailable" in server.log(), "it tried")
            postgres.start()
            wait_until(lambda: "worker_ready" in server.log(), "it has started")
        finally:
            end(server)


def test_a_database_that_does_not_come_is_given_up(tmp_path: Path):
    """The last line names the setting; the platform starts it again, or raises an alert."""
    url = f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/nothing"
    with failing(tmp_path, **with_jobs(tmp_path, url), DATABASE_WAIT_SECONDS=0.5) as lines:
        assert [json.loads(line)["message"] for line in lines[:-1]] == ["database_unavailable"]
        assert lines[-1].startswith("DATABASE_URL: the database did not answer within 0.5 s")


def test_whoever_waits_for_a_database_may_be_stopped(tmp_path: Path):
    """A container's first process hears SIGTERM only where it says so."""
    url = f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/nothing"
    server = launch(tmp_path, app=None, **with_jobs(tmp_path, url))
    try:
        wait_until(lambda: "database_unavailable" in server.log(), "it tried")
        server.signal(signal.SIGTERM)
        assert server.wait(DEADLINE) == 128 + signal.SIGTERM
        server.await_gone()
    finally:
        end(server)


def test_a_second_server_does_not_empty_the_metrics_of_the_first(tmp_path: Path):
    """It says which folder is taken, and the first one's counters stay."""
    with serve(tmp_path, app="tests.services.light_app:app") as first:
        assert httpx2.get(f"{first.url}/work").status_code == 200
        with failing(tmp_path, PROMETHEUS_MULTIPROC_DIR=first.metrics_directory) as lines:
            (line,) = lines
            assert str(first.metrics_directory) in line
            assert "PROMETHEUS_MULTIPROC_DIR" in line
        assert first.metrics().value("inference_requests_total") == 1


def test_a_model_that_does_not_load_leaves_the_server_up_and_not_ready(tmp_path: Path):
    """/ready names it, the metrics count it, its predictions are refused with when to come back."""
    with serve(tmp_path, ready=503, REVISION="unloadable", WEB_CONCURRENCY=1) as server:
        assert httpx2.get(f"{server.url}/health").status_code == 200
        readiness = httpx2.get(f"{server.url}/ready")
        assert readiness.status_code == 503
        assert readiness.json()["checks"]["model:shade"]["ok"] is False
        client = Client(server.port)
        assert client.predict().status == 503
        client.close()
        metrics = server.metrics()
        assert [s.value for s in metrics.samples if s.name == "model_loaded"] == [0]
        assert metrics.value("model_load_failures_total", model="shade") == 1
        assert metrics.value("server_workers") == 1
        (record,) = server.records("model_load_failed")
        assert record["severity"] == "ERROR"
        assert "weights are corrupt" in record["exception"]
        assert "corrupt" not in readiness.text


def test_it_says_once_what_it_found_and_chose(tmp_path: Path):
    """Processors, memory, workers and threads: what an operator asks first of a slow server."""
    with serve(tmp_path, WEB_CONCURRENCY=2, INFERENCE_STREAMS=3) as server:
        (record,) = server.records("server_starting")
    assert (record["workers"], record["streams"]) == (2, 3)
    assert record["processors"] > 0
    assert record["memory_bytes"] > 2**20
    assert record["queue_limit"] == 64


@pytest.mark.parametrize(("given", "expected"), [({}, "1"), ({"OMP_NUM_THREADS": 4}, "4")])
def test_no_library_opens_a_pool_of_threads_of_its_own(tmp_path, given, expected):
    """Unless the operator says so; the workers inherit it before anything is imported."""
    with serve(tmp_path, WEB_CONCURRENCY=1, **given) as server:
        (worker,) = server.workers()
        inherited = psutil.Process(worker).environ()
    assert inherited["OMP_NUM_THREADS"] == expected
    assert inherited["OPENBLAS_NUM_THREADS"] == "1"
    assert int(inherited["MALLOC_MMAP_THRESHOLD_"]) > 0
