"""Requests are counted exactly, whichever worker serves them and whatever becomes of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from drills.server import Metrics, Server
from drills.waiting import wait_until
from tests.services.load import Client, Outcome
from tests.services.quick_app import PATH
from tests.services.server import serve

CLIENTS = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("counting"), WEB_CONCURRENCY=4) as server:
        yield server


def predictions(server: Server, number: int) -> list[Outcome]:
    """Ask for that many predictions, over several connections at once."""

    def some(_client: int) -> list[Outcome]:
        client = Client(server.port)
        outcomes = [client.predict() for _ in range(number // CLIENTS)]
        client.close()
        return outcomes

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [outcome for share in pool.map(some, range(CLIENTS)) for outcome in share]


def counted(server: Server, *, after: int) -> Metrics:
    """A scrape that has every request: the counting comes just after the answer."""
    wait_until(lambda: _requests(server.metrics()) >= after, f"{after} requests are counted")
    return server.metrics()


def _requests(metrics: Metrics) -> float:
    return metrics.value("http_requests_total", method="POST", handler=PATH, status="200")


def test_a_thousand_requests_are_a_thousand_before_and_after_a_reload(server):
    """Counters and histograms of four workers add up, and their successors go on from there."""
    assert {outcome.status for outcome in predictions(server, 1000)} == {200}
    assert_counted(counted(server, after=1000), 1000)
    server.reload()
    assert_counted(counted(server, after=1000), 1000)
    assert {outcome.status for outcome in predictions(server, 400)} == {200}
    assert_counted(counted(server, after=1400), 1400)


def assert_counted(metrics: Metrics, number: int) -> None:
    assert metrics.value("http_requests_total") == number
    assert _requests(metrics) == number
    assert metrics.value("inference_requests_total", model="shade", outcome="ok") == number
    assert metrics.value("inference_requests_total") == number
    assert metrics.value("inference_predictions_total", model="shade", label="light") == number
    duration = "http_request_duration_seconds"
    assert metrics.value(f"{duration}_count", method="POST", handler=PATH) == number
    assert metrics.value(f"{duration}_bucket", handler=PATH, le="+Inf") == number
    assert metrics.value("slo_latency_total", model="shade") == number
    stage = "inference_stage_duration_seconds_count"
    assert metrics.value(stage, model="shade", stage="forward") == number


@pytest.mark.parametrize(
    ("method", "path", "media_type", "handler", "status"),
    [
        ("POST", PATH, "image/png", PATH, 422),
        ("POST", PATH, "text/plain", PATH, 415),
        ("GET", "/v1/models/none", "image/png", "/v1/models/{model}", 404),
        ("GET", "/nowhere", "image/png", "none", 404),
        ("DELETE", PATH, "image/png", PATH, 405),
    ],
)
def test_every_refusal_is_counted_under_its_own_status(
    server, method, path, media_type, handler, status
):
    """429 and 503, 404 and 422 mean different things to the person on call."""
    labels = {"method": method, "handler": handler, "status": str(status)}
    before = server.metrics()
    client = Client(server.port)
    outcome = client.request(method, path, b"no image", **{"Content-Type": media_type})
    client.close()
    assert outcome.status == status
    wait_until(
        lambda: (
            server.metrics().value("http_requests_total", **labels)
            == before.value("http_requests_total", **labels) + 1
        ),
        "the refusal is counted",
    )
    after = server.metrics()
    assert after.value("http_requests_total") == before.value("http_requests_total") + 1
