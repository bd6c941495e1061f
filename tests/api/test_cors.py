"""CORS_ORIGINS: which pages of other sites may call the API, and what they can read."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from project.api.factory import create_app
from tests.conftest import make_settings, picture

PAGE, OTHER = "https://app.example", "https://evil.example"
PATH = "/v1/models/shade/predictions"


@pytest.fixture
def open_client(shade) -> Iterator[TestClient]:
    """Of an API that pages of one origin may call."""
    app = create_app(make_settings(cors_origins=PAGE), [shade])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def preflight(client: TestClient, origin: str, method: str = "POST"):
    """Ask as a browser does before it sends a prediction with a token."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,prefer",
    }
    return client.options(PATH, headers=asked)


def test_a_page_of_that_origin_can_send_a_prediction_and_read_its_headers(open_client):
    """The stages and the id of the request as well, and a token of its own."""
    asked = preflight(open_client, PAGE)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-credentials" not in asked.headers
    answer = open_client.post(PATH, files={"image": picture()}, headers={"Origin": PAGE})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"server-timing", "x-request-id", "retry-after", "ratelimit", "location"} <= set(exposed)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/none", f"{PATH}?threshold=much"])
def test_such_a_page_can_read_what_is_wrong(open_client, path):
    """A problem document says it."""
    answer = open_client.post(path, files={"image": picture()}, headers={"Origin": PAGE})
    assert answer.status_code in {404, 422}
    assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", [OTHER, "http://app.example", f"{PAGE}.evil.example", "null"])
def test_a_page_of_another_origin_cannot(open_client, origin):
    """An answer may be on its way, and its browser keeps it from the page."""
    asked = preflight(open_client, origin)
    assert asked.status_code == 400
    assert "access-control-allow-origin" not in asked.headers
    answer = open_client.get("/v1/models", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()


def test_without_the_setting_no_page_can(client):
    """That is the default: no header of CORS at all."""
    answers = [preflight(client, PAGE), client.get("/v1/models", headers={"Origin": PAGE})]
    assert answers[0].status_code == 405
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
