"""SIGTERM: what was accepted is answered, and nothing stays behind."""

import itertools
import signal
from pathlib import Path

import httpx2

from drills.server import Server
from drills.waiting import wait_until
from tests.services.load import CUT, REFUSED, UNANSWERED, Client, Load, Outcome
from tests.services.server import serve


def slow_and_quick(client: Client, turn: itertools.count = itertools.count()) -> Outcome:  # noqa: B008
    """Every fourth prediction takes a while."""
    return client.predict(seconds=0.3) if next(turn) % 4 == 0 else client.predict()


def assert_nothing_left(server: Server) -> None:
    assert list(server.metrics_directory.glob("gauge_live*")) == []
    assert server.processes() == []


def test_under_load_every_request_that_was_taken_is_answered_whole(tmp_path: Path):
    """Slow predictions too; only connections that no worker had taken yet may go unanswered."""
    with serve(tmp_path) as server:
        with Load(server, clients=12, ask=slow_and_quick) as load:
            server.signal(signal.SIGTERM)
            load.await_end()
        assert server.stop() == 0
        summary = load.summary()
        assert set(summary) <= {200, REFUSED, UNANSWERED}
        assert summary[CUT] == 0
        answered = {outcome.request_id for outcome in load.outcomes if outcome.status == 200}
        taken = {record["request_id"] for record in server.records("request_served")}
        assert taken == answered
        assert [record["status"] for record in server.records("request_served")].count(200) == len(
            taken
        )
        assert len(server.records("worker_stopped")) == 2
        assert_nothing_left(server)


def test_a_prediction_in_hand_outlives_an_interrupt(tmp_path: Path):
    """Ctrl-C is impatient: it waits for no balancer, but the work in hand ends."""
    with serve(tmp_path, GRACEFUL_TIMEOUT_SECONDS=57, SHUTDOWN_DELAY_SECONDS=40) as server:
        with Load(server, clients=2, ask=lambda client: client.predict(seconds=0.2)) as load:
            server.signal(signal.SIGINT)
            load.await_end()
        assert server.wait(deadline=20) == 0  # half the delay
        assert set(load.summary()) <= {200, REFUSED, UNANSWERED}
        taken = {record["request_id"] for record in server.records("request_served")}
        assert taken == {item.request_id for item in load.outcomes if item.status == 200}
        assert len(server.records("worker_stopped")) == 2
        assert_nothing_left(server)


def test_with_a_delay_readiness_turns_red_first_and_predictions_go_on(tmp_path: Path):
    """The balancer sees red and looks away, while its last requests are answered."""
    with serve(tmp_path, SHUTDOWN_DELAY_SECONDS=3) as server:
        server.signal(signal.SIGTERM)
        red = wait_until(
            lambda: (answer := httpx2.get(f"{server.url}/ready")).status_code == 503 and answer,
            "/ready turns red",
        )
        assert red.json()["checks"]["shutdown"]["ok"] is False
        client = Client(server.port)
        wait_until(
            lambda: client.predict().closing, "both workers tell their clients to go elsewhere"
        )
        outcome = client.predict()
        client.close()
        assert (outcome.status, outcome.closing) == (200, True)
        assert httpx2.get(f"{server.url}/health").status_code == 200
        assert server.wait() == 0
        assert_nothing_left(server)
