"""A busy server still says that it lives."""

from pathlib import Path

from drills.waiting import wait_until
from tests.services.load import Client, Load
from tests.services.server import serve


def test_health_answers_while_every_model_is_busy(tmp_path: Path):
    """A probe that waits behind predictions would have a healthy process restarted."""
    with serve(tmp_path, WEB_CONCURRENCY=1) as server:
        probe = Client(server.port)
        with Load(server, clients=6, ask=lambda client: client.predict(seconds=0.5)) as predictions:
            before = len(predictions.outcomes)
            wait_until(lambda: server.metrics().value("inference_queue_depth") >= 5, "all are busy")
            assert [probe.request("GET", "/health").status for _ in range(20)] == [200] * 20
            assert len(predictions.outcomes) - before < 20  # no probe waited for a prediction
        probe.close()
        assert set(predictions.summary()) == {200}
