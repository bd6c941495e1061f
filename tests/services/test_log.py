"""Every line of a whole run is JSON with the same fields, and none is missing or said twice."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from drills.server import Metrics, Server
from drills.waiting import wait_until
from tests.services.load import Client, Outcome
from tests.services.server import serve

FIELDS = {"time", "severity", "message", "logger", "request_id", "trace_id", "span_id"}
WORKERS = 2


@dataclass(frozen=True)
class Run:
    """What became of one server: what it was asked, its last scrape, and all that it wrote."""

    asked: list[Outcome]
    scrape: Metrics
    at_scrape: list[str]
    lines: list[str]

    def records(self, message: str) -> list[dict[str, object]]:
        records = [json.loads(line) for line in self.lines]
        return [record for record in records if record["message"] == message]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Start, requests, a fault, a reload, a killed worker, requests again, stop."""
    with serve(tmp_path_factory.mktemp("log"), WEB_CONCURRENCY=WORKERS) as server:
        asked = ask(server)
        server.reload()
        kill_a_worker(server)
        asked += ask(server)
        wait_until(
            lambda: len(server.records("request_served")) >= len(asked), "every request is logged"
        )
        scrape, at_scrape = quiet_scrape(server)
        server.stop()
        yield Run(asked, scrape, at_scrape, server.log().splitlines())


def ask(server: Server) -> list[Outcome]:
    """Ten predictions and one of each refusal, and what should leave no line."""
    client = Client(server.port)
    outcomes = [client.predict() for _ in range(10)]
    outcomes += [client.predict(fail=True), client.predict(threshold=1000)]
    outcomes += [client.request("GET", "/{braces}%0aline"), client.request("GET", "/metadata")]
    for path in ("/health", "/ready", "/metrics"):
        assert client.request("GET", path).status == 200
    client.close()
    return outcomes


def kill_a_worker(server: Server) -> None:
    ready = server.log().count("worker_ready")
    os.kill(server.workers()[0], signal.SIGKILL)
    wait_until(lambda: server.log().count("worker_ready") > ready, "the worker is replaced")


def quiet_scrape(server: Server) -> tuple[Metrics, list[str]]:
    """A scrape, and the lines written by then; taken while nothing is being written."""

    def undisturbed() -> tuple[Metrics, list[str]] | None:
        before, metrics, after = server.log(), server.metrics(), server.log()
        return (metrics, after.splitlines()) if before == after else None

    return wait_until(undisturbed, "the log rests")


def test_every_line_is_an_object_with_the_same_fields(run):
    """Whoever wrote it: Gunicorn, Uvicorn, a warning, or we."""
    for line in run.lines:
        assert json.loads(line).keys() >= FIELDS, line


def test_a_request_is_one_line_with_the_callers_id(run):
    """Neither none nor two, whichever status it had."""
    served = {record["request_id"]: record["status"] for record in run.records("request_served")}
    assert len(run.records("request_served")) == len(run.asked)
    assert served == {outcome.request_id: outcome.status for outcome in run.asked}
    for record in run.records("request_served"):
        assert len(str(record["trace_id"])) == 32
        assert len(str(record["span_id"])) == 16


def test_probes_and_scrapes_leave_no_line(run):
    """They come every few seconds and would drown what matters."""
    handlers = {record["handler"] for record in run.records("request_served")}
    assert not handlers & {"/health", "/ready", "/metrics"}
    assert not [line for line in run.lines if '"uvicorn.access"' in line]


def test_a_worker_says_once_that_it_came_and_once_that_it_went(run):
    """But the killed one, for which the arbiter speaks."""
    assert len(run.records("worker_ready")) == WORKERS * 2 + 1
    assert len(run.records("worker_stopped")) == WORKERS * 2
    assert [line for line in run.lines if "SIGKILL" in line]


def test_a_fault_is_one_error_with_its_cause(run):
    """And the caller's request id on it, the model and the size of what it failed on."""
    failed = {outcome.request_id for outcome in run.asked if outcome.status == 500}
    errors = run.records("prediction_failed")
    assert {record["request_id"] for record in errors} == failed
    assert len(errors) == len(failed)
    assert all("asked to fail" in str(record["exception"]) for record in errors)
    assert all(record["model"] and record["width"] and record["height"] for record in errors)


def test_every_line_is_counted_once_by_its_level(run):
    """Also those of the arbiter, and of a worker's first moments."""
    levels = Counter(json.loads(line)["severity"] for line in run.at_scrape)
    counted = {level: run.scrape.value("log_messages_total", level=level) for level in levels}
    assert counted == dict(levels)
