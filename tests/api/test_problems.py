"""Every error is a problem document (RFC 9457) with advice; and bodies end at their limit."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.settings import Settings
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel

PATH = "/v1/models/shade/predictions"
IMAGE = {"Content-Type": "image/png"}
MEMBERS = {"type", "title", "status", "detail", "request_id", "trace_id"}
LIMIT = 64 * 1024


@contextmanager
def serving(shade: ShadeModel, **changes: Any) -> Iterator[TestClient]:
    app = create_app(make_settings(**changes), [shade])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def assert_problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The document that every error is; returns it."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert set(document) - {"errors"} == MEMBERS
    assert document["status"] == status
    assert document["type"] == (f"urn:vitrine:problem:{kind}" if kind else "about:blank")
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", document["trace_id"])
    assert len(document["detail"]) > 20
    assert document["title"]
    return document


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/v1/models/nothing", "/v1/models/", "/health/", "/static/nothing", "/%00", "/v1"],
)
def test_what_is_not_there_is_a_404_that_names_where_to_look(client, path):
    """Unknown paths, models, files and stray slashes alike."""
    assert "/v1/models" in assert_problem(client.get(path), 404, "")["detail"]


def test_a_prediction_by_an_unknown_model_is_a_404(client):
    """Its routes do not exist."""
    answer = client.post("/v1/models/nothing/predictions", content=picture(), headers=IMAGE)
    assert_problem(answer, 404, "")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PATH, {"POST"}),
        ("DELETE", PATH, {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("PUT", "/", {"GET", "HEAD"}),
        ("PATCH", "/v1/models", {"GET"}),
        ("OPTIONS", "/v1/models", {"GET"}),
        ("POST", "/metrics", {"GET"}),
        ("DELETE", "/static/app.js", {"GET", "HEAD"}),
        ("DELETE", f"/static{PATH}", {"GET", "HEAD"}),  # what is mounted has paths of its own
        ("OPTIONS", "/docs/files/swagger-ui.css", {"GET", "HEAD"}),
        ("PUT", "/openapi.json", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(client, method, path, allowed):
    """In the header that clients read (RFC 9110, section 15.5.6)."""
    answer = client.request(method, path)
    assert "Allow" in assert_problem(answer, 405, "")["detail"]
    assert set(re.split(r",\s*", answer.headers["Allow"])) == allowed


def test_a_wrong_type_and_a_wrong_image_are_told_apart(client):
    """415 is about the envelope, 422 about what is in it."""
    answer = client.post(PATH, content=b"x", headers={"Content-Type": "text/plain"})
    assert "text/plain" in assert_problem(answer, 415, "unsupported-media-type")["detail"]
    answer = client.post(PATH, content=b"x", headers=IMAGE)
    assert "JPEG" in assert_problem(answer, 422, "invalid-image")["detail"]
    answer = client.post(f"{PATH}?threshold=x&more=1", content=picture(), headers=IMAGE)
    document = assert_problem(answer, 422, "invalid-input")
    assert set(document["errors"]) == {"threshold", "more"}


def test_a_model_that_raises_shows_nothing_of_its_inside(shade):
    """A 500 has an id to report, and neither message nor path of the exception."""
    with serving(shade) as client:
        shade.forward_error = ValueError("secret at /srv/models/weights.bin")
        answer = client.post(PATH, content=picture(), headers=IMAGE)
        assert_problem(answer, 500, "model-failed")
        for inside in ("secret", "/srv", "ValueError", "Traceback", ".py"):
            assert inside not in answer.text
        shade.forward_error = None
        assert client.post(PATH, content=picture(), headers=IMAGE).status_code == 200


def test_an_error_that_nobody_foresaw_is_a_500_that_takes_the_blame(app):
    """Even where our own code fails, the answer is a document with an id."""

    @app.get("/broken")
    async def broken() -> None:
        raise KeyError("secret at /srv/main.py")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken")
    assert "our fault" in assert_problem(answer, 500, "internal-error")["detail"]
    assert "secret" not in answer.text
    assert "KeyError" not in answer.text


def test_a_model_that_did_not_load_is_a_503_without_a_time_to_come_back(shade):
    """It does not pass by itself; the rest goes on, and /ready tells which model is missing."""
    shade.load_error = OSError("weights are at /srv/secret")
    with serving(shade) as client:
        answer = client.post(PATH, content=picture(), headers=IMAGE)
        assert_problem(answer, 503, "model-unavailable")
        assert "Retry-After" not in answer.headers
        assert "/srv" not in answer.text
        assert client.get("/health").status_code == 200
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["model:shade"]["ok"] is False
        assert "/srv" not in ready.text


def test_a_full_queue_is_a_503_with_a_time_to_come_back(shade):
    """The request beyond the limit is rejected at once; the admitted one is served."""
    with serving(shade, queue_limit=1) as client:
        shade.entered.clear()
        shade.go_on.clear()
        inside: list[Any] = []
        thread = threading.Thread(
            target=lambda: inside.append(client.post(PATH, content=picture(), headers=IMAGE))
        )
        thread.start()
        try:
            assert shade.entered.wait(60)
            answer = client.post(PATH, content=picture(), headers=IMAGE)
        finally:
            shade.go_on.set()
            thread.join()
    assert_problem(answer, 503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    assert inside[0].status_code == 200


def test_a_prediction_beyond_its_deadline_is_a_504(shade):
    """The caller is not left waiting for a model that hangs."""
    with serving(shade, prediction_deadline_seconds=0.05) as client:
        shade.go_on.clear()
        try:
            answer = client.post(PATH, content=picture(), headers=IMAGE)
        finally:
            shade.go_on.set()
    assert "0.05 s" in assert_problem(answer, 504, "deadline-exceeded")["detail"]


def test_the_callers_ids_stand_in_the_document(client):
    """One id leads from the caller's log to ours."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-ID": "order-7", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    document = assert_problem(client.get("/nothing", headers=headers), 404, "")
    assert (document["request_id"], document["trace_id"]) == ("order-7", trace)


@pytest.mark.parametrize("path", ["/", "/health", "/ready"])
def test_a_probe_may_ask_for_the_head_alone(client, path):
    """Some load balancers send HEAD: the same status and headers, no body."""
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


class Upload:
    """A scripted client: sends pieces without end, then notes when the answer began."""

    def __init__(self, piece: int, most: int, **headers: str) -> None:
        self.piece, self.most, self.taken = piece, most, 0
        self.status: int | None = None
        self.taken_before_answer = 0
        names = {"content_type": "image/png", **headers}
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "root_path": "",
            "query_string": b"",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in names.items()],
        }

    async def receive(self) -> dict[str, Any]:
        if self.taken >= self.most:
            return {"type": "http.disconnect"}
        self.taken += self.piece
        more = self.taken < self.most
        return {"type": "http.request", "body": bytes(self.piece), "more_body": more}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.taken_before_answer = message["status"], self.taken

    async def to(self, settings: Settings) -> None:
        app = create_app(settings, [ShadeModel()])
        async with app.router.lifespan_context(app) as state:
            await app({**self.scope, "state": dict(state)}, self.receive, self.send)


@pytest.mark.parametrize(
    ("headers", "most_taken"),
    [
        ({"content_length": str(50 * LIMIT)}, 0),
        ({"content_length": "9" * 5000}, 0),
        ({"content_length": "5"}, LIMIT + 1024),
        ({"content_length": "-5"}, LIMIT + 1024),
        ({"transfer_encoding": "chunked"}, LIMIT + 1024),
        ({"content_type": "application/json", "transfer_encoding": "chunked"}, LIMIT + 1024),
    ],
)
def test_a_body_beyond_the_limit_is_refused_before_more_of_it_is_read(headers, most_taken):
    """With an honest length, a lying one and none; the answer does not wait for the rest."""
    upload = Upload(1024, 50 * LIMIT, **headers)
    asyncio.run(upload.to(make_settings(max_body_bytes=LIMIT)))
    assert upload.status == 413
    assert upload.taken_before_answer <= most_taken


def test_a_body_of_exactly_the_limit_is_read(shade):
    """And one byte more is a 413 that says how many are allowed."""
    with serving(shade, max_body_bytes=LIMIT) as client:
        exact = picture() + bytes(LIMIT - len(picture()))
        assert client.post(PATH, content=exact, headers=IMAGE).status_code == 200
        answer = client.post(PATH, content=exact + b"x", headers=IMAGE)
        assert "65,536 bytes" in assert_problem(answer, 413, "content-too-large")["detail"]
        answer = client.post(PATH, files={"image": exact})
        assert_problem(answer, 413, "content-too-large")
        assert client.get("/health", headers={"Content-Length": "9" * 30}).status_code == 200
