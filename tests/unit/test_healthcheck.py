"""A container's health check passes while either kind of process answers."""

import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from drills.server import free_port
from project.healthcheck import fault
from tests.conftest import make_settings


class Healthy(BaseHTTPRequestHandler):
    """Answers /health, as a live process does."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def living() -> Iterator[int]:
    """A port where something answers /health."""
    with socketserver.TCPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("kind", ["port", "worker_metrics_port"])
def test_either_kind_of_process_is_enough(living, kind, host):
    """One image is both, and the check does not know which was started."""
    ports = {"port": free_port(), "worker_metrics_port": free_port()} | {kind: living}
    assert fault(make_settings(host=host, **ports)) is None


def test_where_neither_answers_both_addresses_are_named():
    """So that the operator knows where to look."""
    settings = make_settings(port=free_port(), worker_metrics_port=free_port())
    reason = fault(settings)
    assert reason is not None
    assert f":{settings.port}/health" in reason
    assert f":{settings.worker_metrics_port}/health" in reason
