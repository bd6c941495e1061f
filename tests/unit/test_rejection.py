"""The bytes of a rejection under overload: HTTP/1.1 with the problem document of every error."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from project.api import problems
from project.api.cors import cors_middleware
from project.errors import Overloaded
from project.server.rejection import render

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OVERLOAD = Overloaded("shade has as many predictions as it can take", retry_after=7)


def rejected(
    *headers: tuple[str, str], origins: tuple[str, ...] = ()
) -> tuple[str, dict[str, str], Any]:
    """Status line, headers and document of the rejection of a request with these headers."""
    sent = [(name.encode(), value.encode()) for name, value in headers]
    rendered = render(OVERLOAD, sent, [(b"date", b"today")], origins)
    head, _, body = rendered.decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    received = dict(line.split(": ", 1) for line in lines)
    assert int(received["content-length"]) == len(body)
    return status, received, json.loads(body)


def test_it_has_the_ids_of_its_request():
    """The client finds the request in its own logs and traces."""
    status, headers, document = rejected(("x-request-id", "mine-1"), ("traceparent", TRACEPARENT))
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert headers["date"] == "today"
    assert headers["retry-after"] == "7"
    assert headers["x-request-id"] == document["request_id"] == "mine-1"
    assert document["trace_id"] == TRACE


def test_it_is_the_document_that_the_application_would_send():
    """Whichever of the two rejects a request, its client reads the same."""
    app = FastAPI()
    problems.register(app)

    @app.get("/")
    async def overload() -> None:
        raise OVERLOAD

    answer = TestClient(app).get("/")
    _, headers, document = rejected()
    ids = {"request_id", "trace_id"}
    expected = {name: value for name, value in answer.json().items() if name not in ids}
    assert {name: value for name, value in document.items() if name not in ids} == expected
    assert headers["content-type"] == answer.headers["content-type"]
    assert headers["retry-after"] == answer.headers["retry-after"]


@pytest.mark.parametrize("wrong", ["", "00-zz-1-01", f"00-{'0' * 32}-00f067aa0ba902b7-01", "\xff"])
def test_malformed_ids_are_replaced(wrong):
    """Ids are always such that headers, logs and tools take them."""
    _, headers, document = rejected(("traceparent", wrong), ("x-request-id", f'"}}{wrong}'))
    assert len(document["trace_id"]) == 32
    assert int(document["trace_id"], 16) > 0
    assert len(headers["x-request-id"]) == 32


def test_of_several_ids_the_first_counts():
    """As for every other request: a proxy may have added its own."""
    _, headers, _ = rejected(("x-request-id", "first"), ("x-request-id", "second"))
    assert headers["x-request-id"] == "first"


def test_a_page_of_an_origin_in_the_settings_can_read_it():
    """The status and Retry-After, with the headers that the application would send."""
    origins = ("https://app.example", "http://localhost:3000")
    app = FastAPI(middleware=cors_middleware(origins))
    app.add_api_route("/", lambda: None)
    client = TestClient(app)
    for origin in (*origins, "https://evil.example"):
        expected = client.get("/", headers={"Origin": origin}).headers
        _, headers, _ = rejected(("origin", origin), origins=origins)
        names = {name for name in expected if name.startswith("access-control")} | {"vary"}
        if origin in origins:
            assert headers["access-control-allow-origin"] == origin
        else:
            names -= {"access-control-expose-headers"}  # useless there: nobody may read it
            assert "access-control-allow-origin" not in headers
        assert {name: headers[name] for name in names} == {name: expected[name] for name in names}


def test_without_the_setting_an_origin_changes_nothing():
    """No header of CORS, and no Vary."""
    _, headers, _ = rejected(("origin", "https://app.example"))
    assert not {name for name in headers if name.startswith("access-control") or name == "vary"}
