"""Rejections over TCP: clients can read them, they cost little, and retrying at once is no use."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from drills.server import Server
from drills.waiting import DEADLINE, wait_until
from project.api.body_limit import DISCARD_BYTES
from tests.conftest import make_settings
from tests.services.load import PICTURE, Client
from tests.services.quick_app import PATH
from tests.services.server import serve
from tests.services.wire import Answer, connect, exchange, head, read_answer

MUCH = 50 << 20
IMAGE = "Content-Type: image/png"
CHUNK = b"%x\r\n%s\r\n" % (1 << 16, b"x" * (1 << 16))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With one place."""
    folder = tmp_path_factory.mktemp("refusals")
    with serve(folder, WEB_CONCURRENCY=1, QUEUE_LIMIT=1, KEEPALIVE_SECONDS=1) as server:
        yield server


@contextmanager
def full(server: Server) -> Iterator[None]:
    """Its only place is taken for two seconds."""
    busy = Client(server.port)
    inside = threading.Thread(target=busy.predict, kwargs={"seconds": 2})
    inside.start()
    wait_until(lambda: server.metrics().value("inference_queue_depth") == 1, "it is full")
    try:
        yield
    finally:
        inside.join()
        busy.close()


def test_a_connection_that_was_refused_while_it_sent_ends_when_it_is_idle(server):
    """Its answer was out before its body was in; nothing else would ever close it."""
    lines = ("Content-Length: 2000", IMAGE)
    with full(server), connect(server.port) as refused:
        refused.sendall(head("POST", PATH, *lines, keep_alive=True) + b"x" * 1000)
        refused.settimeout(DEADLINE)
        assert refused.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        refused.sendall(b"x" * 1000)
        assert read_answer(refused) == Answer(0, "")


def test_a_refused_connection_serves_the_next_request(server):
    """What is left of the refused body is thrown away, and no part of it taken for a request."""
    lines = ("Content-Length: 200000", IMAGE)
    with full(server), connect(server.port) as refused:
        refused.sendall(head("POST", PATH, *lines, keep_alive=True) + b"x" * 200_000)
        refused.settimeout(DEADLINE)
        assert refused.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        refused.sendall(head("GET", "/health"))
        answer = read_answer(refused)
    assert answer.status == 200
    assert not answer.reset


def test_a_refusal_is_read_by_a_client_that_sends_all_before_it_reads(server):
    """A connection that should close does so when the body is in, and is not torn down."""
    with full(server):
        lines = (IMAGE, f"Content-Length: {MUCH}")
        answer = exchange(server.port, head("POST", PATH, *lines) + b"x" * MUCH)
    assert answer.status == 503
    assert not answer.reset
    assert "connection: close" in answer.text


def test_a_client_that_asks_before_it_sends_is_refused_and_sends_nothing(server):
    """Its body would be taken for the next request, or it for the body: the connection closes."""
    lines = (IMAGE, "Expect: 100-continue", f"Content-Length: {MUCH}")
    with full(server), connect(server.port) as refused:
        refused.sendall(head("POST", PATH, *lines, keep_alive=True))
        answer = read_answer(refused)
    assert answer.status == 503
    assert "connection: close" in answer.text


def test_a_client_that_retries_at_once_is_read_after_a_pause(server):
    """Some clients retry for ever without a pause; answering them would slow down predictions."""
    request = head("POST", PATH, IMAGE, "Content-Length: 4", keep_alive=True) + b"none"
    pause, refusals = make_settings().refusal_pause_seconds, 0
    with full(server), connect(server.port) as impatient:
        impatient.settimeout(DEADLINE)
        began = time.monotonic()
        while time.monotonic() - began < 5 * pause:
            impatient.sendall(request)
            assert impatient.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
            refusals += 1
        assert refusals <= 2 + (time.monotonic() - began) / pause


def test_a_client_that_does_not_read_its_rejections_is_answered_as_fast_as_it_reads(server):
    """Thousands of heads in one packet are answered one by one."""
    request = head("POST", PATH, IMAGE, "Content-Length: 0", keep_alive=True)
    with full(server), connect(server.port) as greedy:
        greedy.sendall(request * 1000 + head("GET", "/health"))
        answer = read_answer(greedy)
    assert answer.text.count("HTTP/1.1 503 ") >= 1
    assert answer.text.count("HTTP/1.1 ") == 1001
    assert answer.text.endswith('{"status":"ok"}')
    assert not answer.reset


def test_what_follows_the_last_response_is_ignored(server):
    """A client that asked to close gets no further response (RFC 9112, section 9.6)."""
    request = head("POST", PATH, IMAGE, "Content-Length: 4") + b"none"
    with full(server):
        answer = exchange(server.port, request + request)
    assert answer.text.count("HTTP/1.1 ") == 1


def test_a_refused_body_that_is_malformed_has_no_second_answer(server):
    """The client would take that for the response to its next request."""
    chunked = head("POST", PATH, IMAGE, "Transfer-Encoding: chunked", keep_alive=True)
    with full(server), connect(server.port) as confused:
        confused.sendall(chunked + b"no chunk\r\n")
        answer = read_answer(confused)
    assert answer.text.count("HTTP/1.1 ") == 1
    assert answer.status == 503


def test_an_endless_rejected_body_ends_the_connection(server):
    """It is discarded, but not for ever."""
    chunked = head("POST", PATH, IMAGE, "Transfer-Encoding: chunked", keep_alive=True)
    with full(server), connect(server.port) as endless:
        endless.sendall(chunked)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            endless.sendall(CHUNK * (2 * DISCARD_BYTES // len(CHUNK)))


def test_an_idle_connection_is_closed(server):
    """A thousand of them would be all that there may be."""
    with connect(server.port) as silent:
        silent.settimeout(DEADLINE)
        assert silent.recv(1) == b""
    with connect(server.port) as half:
        half.settimeout(DEADLINE)
        half.sendall(b"GET /health HT")
        assert half.recv(1) == b""


def test_a_burst_is_rejected_by_the_guard_alone(tmp_path):
    """What passes it has a slot: a rejection by the route costs ten times as much."""
    request = head("POST", f"{PATH}?seconds=0.2", IMAGE, f"Content-Length: {len(PICTURE)}")
    with serve(tmp_path, WEB_CONCURRENCY=1, QUEUE_LIMIT=2) as server, ExitStack() as stack:
        callers = [stack.enter_context(connect(server.port)) for _ in range(32)]
        for caller in callers:
            caller.sendall(request + PICTURE)
        statuses = [read_answer(caller).status for caller in callers]
    assert set(statuses) == {200, 503}
    served = [record["status"] for record in server.records("request_served")]
    assert served.count(503) == 0
    refused = sum(record["count"] for record in server.records("requests_refused"))
    assert refused == statuses.count(503)
