"""The command line copes with a server that is away, overloaded, or another program."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from project.cli.camera import Camera, play
from project.cli.connection import ErrorResponse, RetryPolicy, Server, Unreachable
from project.cli.following import follow
from project.errors import ConfigurationError

pytestmark = pytest.mark.anyio
JOB = {"id": "a1", "status": "accepted"}
FULL = {"type": "urn:vitrine:problem:overloaded", "title": "Overloaded", "detail": "wait"}
GONE = {"type": "urn:vitrine:problem:database-unavailable", "title": "Gone", "detail": "wait"}

Answer = httpx2.Response | Exception


class Scene:
    """A server with scripted answers, and a clock that its pauses advance."""

    def __init__(self, *answers: Answer | Callable[[httpx2.Request], Answer], seconds: float = 60):
        self.now = 0.0
        self.waits: list[float] = []
        self.reasons: list[str] = []
        self.asked: list[httpx2.Request] = []
        self._answers = list(answers)
        self.policy = RetryPolicy(
            seconds=seconds, on_retry=self.reasons.append, sleep=self._sleep, clock=lambda: self.now
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer = answer(request) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def server(self, *, retry: bool = True) -> Server:
        transport = httpx2.MockTransport(self._answer)
        return Server("http://server", self.policy if retry else None, transport)


def problem(status: int, document: object, **headers: str) -> Callable[[object], httpx2.Response]:
    return lambda _request: httpx2.Response(status, json=document, headers=headers)


def ok(document: object) -> Callable[[object], httpx2.Response]:
    return problem(200, document)


def stream(*events: str, status: int = 200) -> Callable[[object], httpx2.Response]:
    headers = {"Content-Type": "text/event-stream"}
    return lambda _request: httpx2.Response(status, text="".join(events), headers=headers)


def event(revision: int, status: str) -> str:
    return f'event: job\nid: {revision}\ndata: {{"id": "a1", "status": "{status}"}}\n\n'


def refused(_request: object) -> Exception:
    return httpx2.ConnectError("refused")


@pytest.mark.parametrize(
    "trouble",
    [
        refused,
        lambda _request: httpx2.ReadTimeout("slow"),
        lambda _request: httpx2.RemoteProtocolError("cut"),
        problem(502, "a proxy's page"),
        problem(503, GONE),
        problem(504, GONE),
        problem(429, GONE),
    ],
    ids=range(7),
)
async def test_a_server_that_is_away_for_a_while_is_asked_again(trouble):
    """With growing pauses, and the reason is reported."""
    scene = Scene(trouble, trouble, trouble, ok(JOB))
    async with scene.server() as server:
        assert await server.request("GET", "/") == JOB
    assert scene.waits == [0.25, 0.5, 1.0]
    assert len(scene.reasons) == 3


@pytest.mark.parametrize("trouble", [refused, problem(503, GONE)], ids=["away", "broken"])
async def test_retries_end(trouble):
    """After so long the server is not restarting."""
    scene = Scene(trouble, seconds=60)
    async with scene.server() as server:
        with pytest.raises((ErrorResponse, Unreachable)):
            await server.request("GET", "/")
    assert 60 <= scene.now <= 65 + 1
    assert max(scene.waits) == 5


async def test_a_server_that_is_full_is_waited_for_as_long_as_it_says_so():
    """It is alive, and its jobs may take hours; it says when to come back."""
    full = problem(503, FULL, **{"Retry-After": "10"})
    scene = Scene(*[full] * 100, ok(JOB), seconds=60)
    async with scene.server() as server:
        assert await server.request("POST", "/") == JOB
    assert scene.waits == [10.0] * 100


@pytest.mark.parametrize(
    ("after", "least", "most"),
    [("7", 7, 7), ("100000", 60, 60), ("0", 0.25, 0.25), ("Sun, 22 Nov 2026", 0.25, 0.25)],
)
async def test_the_time_to_come_back_is_honoured_within_reason(after, least, most):
    """Neither an hour for a mistake, nor a thousand times a second."""
    scene = Scene(problem(503, GONE, **{"Retry-After": after}), ok(JOB))
    async with scene.server() as server:
        await server.request("GET", "/")
    assert least <= scene.now <= most


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 422, 500])
async def test_what_another_try_would_meet_again_is_not_tried_again(status):
    """The problem document is the message, with the fault of each parameter."""
    document = {"title": "Wrong", "detail": "do this\x1b[2J", "errors": {"steps": "too many"}}
    scene = Scene(problem(status, document))
    async with scene.server() as server:
        with pytest.raises(ErrorResponse) as caught:
            await server.request("POST", "/")
    assert caught.value.detail == "Wrong: do this\\x1b[2J"
    assert caught.value.fields == {"steps": "too many"}
    assert scene.waits == []


async def test_without_a_policy_everything_is_tried_once():
    """`jobs list` reports at once that no server is there."""
    scene = Scene(refused)
    async with scene.server(retry=False) as server:
        with pytest.raises(Unreachable, match=r"no answer from http://server \(refused\)"):
            await server.request("GET", "/")
    assert len(scene.asked) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'"x"', b"[" * 100_000, b"\xff"])
async def test_another_program_at_the_address_is_recognised(body):
    """Whatever it answers, with 200 or with an error."""
    for status in (200, 404):
        scene = Scene(lambda _request, status=status: httpx2.Response(status, content=body))
        async with scene.server() as server:
            with pytest.raises(ErrorResponse, match=r"is not Vitrine|404 Not Found from server"):
                await server.request("GET", "/", required=("id",))


@pytest.mark.parametrize(
    "url", ["", "x", "localhost:8000", "ftp://x", "http://", "http://a:99999", "é"]
)
async def test_an_address_that_is_none_is_refused(url):
    """With how to write it."""
    with pytest.raises(ConfigurationError, match="write it as http://localhost:8000"):
        Server(url)


KEY = f"vitrine_{'0' * 32}_{'x' * 43}"
AUTHORIZATION = f"Bearer {KEY}"


@pytest.fixture
def key(monkeypatch) -> None:
    """VITRINE_KEY is set; the end of a line in it is none of the key."""
    monkeypatch.setenv("VITRINE_KEY", f"{KEY}\n")


def sent_to(scene: Scene) -> list[tuple[str, str | None]]:
    """Host and credentials of each request."""
    return [(asked.url.host, asked.headers.get("authorization")) for asked in scene.asked]


async def test_without_a_key_no_credentials_are_sent():
    """A server with AUTH=off needs none."""
    scene = Scene(ok(JOB))
    async with scene.server() as server:
        await server.request("GET", "/v1/jobs/a1")
    assert sent_to(scene) == [("server", None)]


async def test_the_key_of_the_environment_goes_with_every_request(key):
    """A repeated one, and one that streams, too."""
    scene = Scene(refused, ok(JOB))
    async with scene.server() as server:
        await server.request("GET", "/v1/jobs/a1")
        async with server.stream("GET", "/v1/jobs/a1/events"):
            pass
    assert sent_to(scene) == [("server", AUTHORIZATION)] * 3


@pytest.mark.parametrize(
    ("location", "credentials"),
    [
        ("https://bucket.example.org/a?signature=1", None),
        ("http://server.example.org/a", None),
        ("http://server:8001/a", None),
        ("ftp://server/a", None),
        ("/v1/files/a?signature=1", AUTHORIZATION),
    ],
)
async def test_the_key_never_goes_to_another_host_by_a_redirect(key, location, credentials):
    """A signed link leads to a bucket, and another port is another program."""
    scene = Scene(problem(307, {}, Location=location), ok(JOB))
    async with scene.server(retry=False) as server:
        with suppress(Unreachable):  # no client follows a redirect to ftp
            await server.content("GET", "/v1/jobs/a1/result", follow_redirects=True)
    assert sent_to(scene)[0] == ("server", AUTHORIZATION)
    assert [sent for _, sent in sent_to(scene)[1:]] in ([credentials], [])
    assert len(scene.asked) == 2 or location.startswith("ftp")


async def test_the_key_never_goes_to_another_host_that_an_answer_names(key):
    """Such as the next page of a list."""
    scene = Scene(ok(JOB))
    async with scene.server() as server:
        await server.request("GET", "https://elsewhere.example.org/v1/jobs?before=1")
        await server.request("GET", "http://server:80/v1/jobs?before=1")
    assert sent_to(scene) == [("elsewhere.example.org", None), ("server", AUTHORIZATION)]


@pytest.mark.parametrize("text", ["a b", "\x1b[2J", "é", "a\nb"])
async def test_what_cannot_be_a_key_is_refused_and_not_shown(monkeypatch, text):
    """An error of the header would show it."""
    monkeypatch.setenv("VITRINE_KEY", text)
    with pytest.raises(ConfigurationError, match="VITRINE_KEY") as caught:
        Server("http://server")
    assert text not in caught.value.detail


@pytest.mark.parametrize("document", [{"title": "Refused", "detail": "because"}, {}])
@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "set VITRINE_KEY to an API key of this server"),
        (403, "set VITRINE_KEY to a key that may do this"),
        (429, "try again later"),
    ],
)
async def test_a_refusal_says_what_to_do_in_one_line(key, status, advice, document):
    """The server's words first, if they are its own; never the key."""
    scene = Scene(problem(status, document))
    async with scene.server(retry=False) as server:
        with pytest.raises(ErrorResponse) as caught:
            await server.request("GET", "/")
    first, _, last = caught.value.detail.partition("; ")
    assert first == (f"{document['title']}: {document['detail']}" if document else first)
    assert last.startswith(advice)
    assert "\n" not in caught.value.detail
    assert KEY not in caught.value.detail


async def test_a_quota_is_not_waited_for():
    """It is exceeded until the month ends."""
    document = {"type": "urn:vitrine:problem:quota-exceeded", "title": "Quota exceeded"}
    scene = Scene(problem(429, document, **{"Retry-After": "1000000"}))
    async with scene.server() as server:
        with pytest.raises(ErrorResponse, match="Quota exceeded"):
            await server.request("POST", "/")
    assert (len(scene.asked), scene.waits) == (1, [])


async def test_a_stream_has_the_key_and_a_redirect_to_another_host_does_not(key, tmp_path):
    """The handshake of a live stream may be redirected too."""
    seen: dict[str, list[str | None]] = {"one": [], "two": []}
    details = {"name": "x", "inputs": [{"name": "text", "kind": "text", "required": True}]}

    def answering(name: str, status: int, **headers: str) -> Any:
        def answer(_connection: ServerConnection, request: Request) -> Response:
            seen[name].append(request.headers.get("authorization"))
            if request.path == "/v1/models/x":
                body = json.dumps(details | {"stream": "/v1/models/x/stream"}).encode()
                sent = Headers(**{"Content-Length": str(len(body))})
                return Response(200, "OK", sent, body)
            return Response(status, "", Headers(**headers, **{"Content-Length": "0"}), b"")

        return answer

    camera = Camera("x", [], [("text", "a")], [], fps=10, seconds=1)
    async with serve(None, "127.0.0.1", 0, process_request=answering("two", 401)) as two:
        there = f"ws://127.0.0.1:{two.sockets[0].getsockname()[1]}/"
        answer = answering("one", 302, Location=there)
        async with serve(None, "127.0.0.1", 0, process_request=answer) as one:
            url = f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}"
            with pytest.raises(ErrorResponse, match="set VITRINE_KEY"):
                await play(url, camera, print)
    assert seen == {"one": [AUTHORIZATION, AUTHORIZATION], "two": [None]}


async def followed(scene: Scene) -> tuple[str, list[str]]:
    shown: list[str] = []
    async with scene.server() as server:
        job = await follow(server, JOB, lambda view: shown.append(view["status"]))
    return job["status"], shown


async def test_a_job_is_followed_by_its_events():
    """One connection; nothing is asked twice."""
    scene = Scene(stream(event(2, "running"), event(3, "succeeded")))
    assert await followed(scene) == ("succeeded", ["running", "succeeded"])
    assert len(scene.asked) == 1


async def test_a_stream_that_breaks_is_resumed_behind_the_last_event():
    """The job is asked for in between, so that nothing is missed."""
    scene = Scene(
        stream(event(2, "running")),
        ok({"id": "a1", "status": "running"}),
        stream(event(3, "succeeded")),
    )
    assert await followed(scene) == ("succeeded", ["running", "running", "succeeded"])
    assert [request.headers.get("last-event-id") for request in scene.asked] == [None, None, "2"]


@pytest.mark.parametrize(
    "trouble",
    [
        refused,
        problem(404, {}),
        problem(500, {}),
        stream(status=204),
        stream("data: no json\n\n"),
        stream('data: {"id": 1}\n\n'),
        ok({}),
    ],
    ids=range(7),
)
async def test_without_events_the_job_is_asked_for(trouble):
    """A proxy may hold events back, or know nothing of them."""

    def answer(request):
        if request.url.path.endswith("/events"):
            return trouble(request)
        status = "running" if len(scene.asked) < 12 else "failed"
        return httpx2.Response(200, json={"id": "a1", "status": status})

    scene = Scene(answer)
    assert (await followed(scene))[0] == "failed"
    assert scene.waits == [0.5, 1.0, 2.0, 4.0, 5, 5]


async def test_a_job_that_is_gone_ends_the_following():
    """It was deleted with its database."""
    scene = Scene(problem(404, {"title": "Job not found", "detail": "there is none"}))
    with pytest.raises(ErrorResponse, match="Job not found: there is none"):
        await followed(scene)


async def test_a_job_that_has_ended_is_not_followed():
    """As where the same key was sent before."""
    scene = Scene(refused)
    async with scene.server() as server:
        job = await follow(server, {"id": "a1", "status": "failed"}, lambda _view: None)
    assert (job["status"], scene.asked) == ("failed", [])
