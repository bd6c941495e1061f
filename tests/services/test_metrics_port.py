"""Where /metrics is served, and to whom."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.services.server import Server, free_port, serve
from tests.services.wire import exchange, head

TOKEN = "a-token-of-enough-length"


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a port of its own for /metrics; as in production, it needs no token there."""
    settings = {"METRICS_PORT": free_port(), "WEB_CONCURRENCY": 1, "ENVIRONMENT": "production"}
    with serve(tmp_path_factory.mktemp("apart"), **settings) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"METRICS_TOKEN": TOKEN, "WEB_CONCURRENCY": 1, "ENVIRONMENT": "production"}
    with serve(tmp_path_factory.mktemp("guarded"), **settings) as server:
        yield server


def test_metrics_are_on_their_port_alone(apart):
    """The public port answers 404, as if there were none."""
    assert apart.metrics().value("server_workers") == 1
    answer = httpx2.get(f"{apart.url}/metrics")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/", "/health", "/ready", "/metadata", "/v1/models", "/docs", "/openapi.json"]
)
def test_nothing_else_is_on_the_metrics_port(apart, path):
    """Whoever reaches that port reaches numbers and no model."""
    assert httpx2.get(f"{apart.url}{path}").status_code == 200
    assert httpx2.get(f"http://127.0.0.1:{apart.metrics_port}{path}").status_code == 404


def test_a_forged_header_opens_no_port(apart):
    """The connection's own port decides, not what the caller says it is."""
    forged = f"localhost:{apart.metrics_port}"
    lines = (
        f"X-Forwarded-Host: {forged}",
        f"X-Forwarded-Port: {apart.metrics_port}",
        f"Forwarded: host={forged}",
    )
    assert exchange(apart.port, head("GET", "/metrics", *lines, host=forged)).status == 404
    absolute = f"http://{forged}/metrics"
    assert exchange(apart.port, head("GET", absolute, host=forged)).status == 404
    back = f"localhost:{apart.port}"
    assert exchange(apart.metrics_port, head("GET", "/v1/models", host=back)).status == 404
    assert exchange(apart.metrics_port, head("GET", "/metrics", host=back)).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        *(None, "Bearer wrong-token-of-enough-length", TOKEN, "Bearer"),
        *("Basic", f"Basic {TOKEN}", "Basic bm8gY29sb24=", "Basic dXNlcjp3cm9uZw=="),
    ],
)
def test_without_the_token_metrics_are_refused(guarded, authorization):
    """A 401 that says what to send, and never what it should have been."""
    headers = {"Authorization": authorization} if authorization else {}
    answer = httpx2.get(f"{guarded.url}/metrics", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "METRICS_TOKEN" in answer.json()["detail"]
    assert TOKEN not in answer.text


def test_with_the_token_metrics_are_served(guarded):
    """And the token is nowhere in the log."""
    assert guarded.metrics().value("server_workers") == 1
    answer = httpx2.get(f"{guarded.url}/metrics", auth=("any user", TOKEN))
    assert answer.status_code == 200
    assert "server_workers 1.0" in answer.text
    assert TOKEN not in guarded.log()
