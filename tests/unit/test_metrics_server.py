"""The metrics server of the job workers: one scrape path, one liveness path, nothing else."""

import gzip
from wsgiref.util import setup_testing_defaults

import pytest
from pydantic import SecretStr

from project.jobs.metrics_server import application

TEXT = b"jobs_total 1.0\n"


def ask(
    path: str, method: str = "GET", token: SecretStr | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request to a server that renders TEXT."""
    request = {"PATH_INFO": path, "REQUEST_METHOD": method, **headers}
    setup_testing_defaults(request)
    answered: list[tuple[str, dict[str, str]]] = []
    body = application(lambda: TEXT, token)(
        request, lambda status, headers: answered.append((status, dict(headers)))
    )
    ((status, given),) = answered
    return int(status.split()[0]), given, b"".join(body)


def test_a_scrape_is_compressed_where_the_client_accepts_it():
    """As Prometheus does; others get plain text."""
    assert ask("/metrics")[2] == TEXT
    status, headers, body = ask("/metrics", HTTP_ACCEPT_ENCODING="gzip")
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == TEXT


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [("/favicon.ico", "GET", 404), ("/", "GET", 404), ("/metrics", "POST", 405)],
)
def test_nothing_else_collects_the_metrics(path, method, expected):
    """Collecting reads every metric file and asks the broker."""
    status, _, body = ask(path, method)
    assert status == expected
    assert TEXT not in body


def test_the_token_is_required_for_metrics_alone():
    """Liveness needs none, as platforms cannot send one."""
    token = SecretStr("a-token-of-16-characters")
    assert ask("/metrics", token=token)[0] == 401
    assert (
        ask("/metrics", token=token, HTTP_AUTHORIZATION=f"Bearer {token.get_secret_value()}")[0]
        == 200
    )
    assert ask("/health", token=token)[0] == 200
