"""The access event: one for each request, with what operators need and nothing a caller sent."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import APIRouter
from loguru import logger
from starlette.testclient import TestClient

from project.api.factory import create_app
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel
from tests.samples import sample

PATH = "/v1/models/shade/predictions"
FIELDS = {
    *("time", "severity", "message", "logger", "request_id", "trace_id", "span_id"),
    *("method", "handler", "status", "duration_seconds", "bytes_in", "bytes_out"),
    *("model", "client"),
}
extra = APIRouter()


@extra.get("/fails")
async def fail() -> None:
    """An endpoint that raises what nobody expects."""
    raise LookupError("nobody expected this")


@extra.get("/logs")
def log_in_a_thread() -> str:
    """An endpoint that runs in the thread pool and logs there."""
    logger.info("logged_in_thread")
    return "done"


class Observed:
    """A client together with all that the application writes."""

    def __init__(self, client, capsys):
        self.client = client
        self._capsys = capsys
        self._written = ""

    def written(self):
        taken = self._capsys.readouterr()
        self._written += taken.out + taken.err
        return self._written

    def lines(self, message="request_served"):
        lines = [json.loads(line) for line in self.written().split("\n") if line]
        return [line for line in lines if line["message"] == message]


@pytest.fixture
def observed(shade: ShadeModel, capsys):
    app = create_app(make_settings(log_format="json", max_body_bytes=4096), [shade])
    app.include_router(extra)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Observed(client, capsys)


def test_a_prediction_is_one_flat_event_with_all_fields(observed):
    """What the dashboards of the log are made of."""
    data = picture()
    answer = observed.client.post(PATH, content=data, headers={"Content-Type": "image/png"})
    (line,) = observed.lines()
    assert set(line) == FIELDS
    assert (line["method"], line["handler"], line["status"]) == ("POST", PATH, 200)
    assert line["model"] == "shade"
    assert line["client"] == "testclient"
    assert line["bytes_in"] == len(data)
    assert line["bytes_out"] == len(answer.content)
    assert 0 < line["duration_seconds"] < 300
    assert line["severity"] == "INFO"
    assert line["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("method", "path", "handler", "status"),
    [
        ("GET", "/v1/models", "/v1/models", 200),
        ("GET", "/v1/models/shade", "/v1/models/{model}", 200),
        ("GET", "/v1/models/marker", "/v1/models/{model}", 404),
        ("GET", "/marker/../marker?marker=1", "none", 404),
        ("GET", "/v1/models/shade/", "none", 404),
        ("DELETE", "/v1/models", "/v1/models", 405),
        ("GET", "/static/index.html", "/static", 200),
        ("GET", "/static/marker.html", "/static", 404),
        ("GET", "/fails", "/fails", 500),
        ("POST", PATH, PATH, 415),
    ],
)
def test_the_handler_is_the_template_and_never_the_path(observed, method, path, handler, status):
    """A path can hold anything; a template is one of a closed set."""
    answer = observed.client.request(method, path)
    (line,) = observed.lines()
    assert answer.status_code == status
    assert (line["method"], line["handler"], line["status"]) == (method, handler, status)
    assert "marker" not in observed.written()


def test_a_server_error_is_a_warning(observed):
    """The error itself is logged as such; the event only counts it."""
    observed.client.get("/fails")
    assert observed.lines()[0]["severity"] == "WARNING"
    assert observed.lines("request_failed")[0]["severity"] == "ERROR"


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_probes_and_scrapes_are_not_logged(observed, path):
    """They would be most of the log."""
    assert observed.client.get(path).status_code == 200
    assert observed.lines() == []


def test_nothing_that_the_caller_sent_is_in_any_line(observed, shade):
    """Query, headers, cookies, parameters and images may be personal or secret."""
    client = observed.client
    headers = {
        "Authorization": "Bearer marker-token",
        "Cookie": "session=marker-cookie",
        "User-Agent": "marker-agent",
        "Referer": "https://marker.example",
        "X-Forwarded-For": "marker-address",
    }
    query = "?threshold=marker-query&marker-name=1"
    client.post(PATH + query, content=picture(), headers=headers | {"Content-Type": "image/png"})
    client.post(PATH, json={"image": "marker-base64", "marker-field": 1}, headers=headers)
    client.post(PATH, files={"image": ("marker-file.png", b"marker-bytes")}, headers=headers)
    client.post(PATH, content=b"marker", headers=headers | {"Content-Type": "marker/type"})
    client.get("/fails" + query, headers=headers)
    shade.forward_error = ValueError("broken inside")
    assert client.post(PATH, files={"image": ("marker.png", picture())}).status_code == 500
    assert len(observed.lines()) == 6
    assert "marker" not in observed.written()
    assert "PNG" not in observed.written()


def test_a_body_beyond_the_limit_is_one_event_with_its_status(observed):
    """What was refused is counted by what was read of it."""
    answer = observed.client.post(PATH, content=b"0" * 5000, headers={"Content-Type": "image/png"})
    (line,) = observed.lines()
    assert answer.status_code == line["status"] == 413
    assert line["bytes_in"] <= 5000


def test_requests_in_progress_go_up_and_come_back(observed, shade):
    """The gauge is as right after an error as after a success."""
    shade.go_on.clear()
    shade.entered.clear()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(observed.client.post, PATH, files={"image": picture()})
        shade.entered.wait()
        during = sample("http_requests_inprogress")
        shade.go_on.set()
        running.result()
    assert during == 1
    observed.client.get("/fails")
    assert sample("http_requests_inprogress") == 0


def test_the_size_of_bodies_is_observed_under_the_template(observed):
    """Where there was no body there is nothing to observe."""
    before = sample("http_request_body_bytes_sum", handler=PATH)
    observed.client.post(PATH, content=b"0" * 77, headers={"Content-Type": "image/png"})
    observed.client.get(PATH)
    assert sample("http_request_body_bytes_sum", handler=PATH) - before == 77


@pytest.mark.parametrize("value", ["abc", "a" * 128, "A-1_b.c:d/e+f=g@h", "0af7651916cd43dd"])
def test_a_well_formed_request_id_is_kept(observed, value):
    """The caller's own id leads from their log to ours."""
    answer = observed.client.get("/nothing-here", headers={"X-Request-ID": value})
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == value
    assert observed.lines()[0]["request_id"] == value


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"a b",
        b"a\nb",
        b"a\r\nX-Evil: 1",
        b"a" * 200,
        b"-a",
        "é".encode(),
        b'a"b',
        b"\x1b[1m",
    ],
)
def test_an_ill_formed_request_id_is_replaced(observed, value):
    """An id must be harmless in a header, in a line and on a terminal."""
    answer = observed.client.get("/nothing-here", headers=[(b"X-Request-ID", value)])
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/nothing-here", 404), ("/fails", 500), ("/static/index.html", 200)],
)
def test_every_answer_carries_its_request_id(observed, path, status):
    """Whatever went wrong, the caller has something to report."""
    answer = observed.client.get(path)
    assert answer.status_code == status
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_an_unreadable_picture_carries_its_request_id(observed):
    """So does a 422."""
    answer = observed.client.post(PATH, files={"image": b"nope"}, headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (422, "mine")


def test_requests_at_the_same_time_do_not_mix_up_their_ids(observed):
    """Each line belongs to its own request, in the thread pool too."""
    names = [f"request-{number}" for number in range(60)]

    def ask(name):
        path = "/logs" if name.endswith(("0", "2", "4")) else "/nothing-here"
        return observed.client.get(path, headers={"X-Request-ID": name}).headers["X-Request-ID"]

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, names)) == names
    served = {line["request_id"]: line for line in observed.lines()}
    assert sorted(served) == sorted(names)
    assert len({line["trace_id"] for line in served.values()}) == len(names)
    threads = observed.lines("logged_in_thread")
    assert len(threads) == sum(name.endswith(("0", "2", "4")) for name in names)
    for line in threads:
        assert served[line["request_id"]]["handler"] == "/logs"
        assert served[line["request_id"]]["trace_id"] == line["trace_id"]
