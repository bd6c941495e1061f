"""Refusals over TCP: read in whole, cheap for us, and no use to who asks again at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.server.protocol import PAUSE_SECONDS
from tests.services.load import Client
from tests.services.quick_app import PATH
from tests.services.server import DEADLINE, Server, serve, wait_until
from tests.services.wire import Answer, connect, exchange, head, read_answer

MUCH = 50 << 20
IMAGE = "Content-Type: image/png"


@contextmanager
def full(folder: Path) -> Iterator[Server]:
    """A server whose only place is taken for two seconds."""
    settings = {"WEB_CONCURRENCY": 1, "QUEUE_LIMIT": 1, "KEEPALIVE_SECONDS": 1}
    with serve(folder, **settings) as server:
        busy = Client(server.port)
        inside = threading.Thread(target=busy.predict, kwargs={"seconds": 2})
        inside.start()
        wait_until(lambda: server.metrics().value("inference_queue_depth") == 1, "it is full")
        yield server
        inside.join()
        busy.close()


def test_a_connection_that_was_refused_while_it_sent_ends_when_it_is_idle(tmp_path):
    """Its answer was out before its body was in; nothing else would ever close it."""
    lines = ("Content-Length: 2000", IMAGE)
    with full(tmp_path) as server, connect(server.port) as refused:
        refused.sendall(head("POST", PATH, *lines, keep_alive=True) + b"x" * 1000)
        refused.settimeout(DEADLINE)
        assert refused.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        refused.sendall(b"x" * 1000)
        assert read_answer(refused) == Answer(0, "")


def test_a_refused_connection_serves_the_next_request(tmp_path):
    """What is left of the refused body is thrown away, and no part of it taken for a request."""
    lines = ("Content-Length: 200000", IMAGE)
    with full(tmp_path) as server, connect(server.port) as refused:
        refused.sendall(head("POST", PATH, *lines, keep_alive=True) + b"x" * 200_000)
        refused.settimeout(DEADLINE)
        assert refused.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        refused.sendall(head("GET", "/health"))
        answer = read_answer(refused)
    assert answer.status == 200
    assert not answer.reset


def test_a_refusal_is_read_by_a_client_that_sends_all_before_it_reads(tmp_path):
    """A connection that should close does so when the body is in, and is not torn down."""
    with full(tmp_path) as server:
        lines = (IMAGE, f"Content-Length: {MUCH}")
        answer = exchange(server.port, head("POST", PATH, *lines) + b"x" * MUCH)
    assert answer.status == 503
    assert not answer.reset
    assert "connection: close" in answer.text


def test_a_client_that_asks_before_it_sends_is_refused_and_sends_nothing(tmp_path):
    """Its body would be taken for the next request, or it for the body: the connection closes."""
    lines = (IMAGE, "Expect: 100-continue", f"Content-Length: {MUCH}")
    with full(tmp_path) as server, connect(server.port) as refused:
        refused.sendall(head("POST", PATH, *lines, keep_alive=True))
        answer = read_answer(refused)
    assert answer.status == 503
    assert "connection: close" in answer.text


def test_who_asks_again_at_once_is_heard_after_a_moment(tmp_path):
    """Some clients ask for ever without a pause; answering them would cost those inside."""
    request = head("POST", PATH, IMAGE, "Content-Length: 4", keep_alive=True) + b"none"
    refusals = 0
    with full(tmp_path) as server, connect(server.port) as impatient:
        impatient.settimeout(DEADLINE)
        began = time.monotonic()
        while time.monotonic() - began < 5 * PAUSE_SECONDS:
            impatient.sendall(request)
            assert impatient.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
            refusals += 1
        assert refusals <= 1 + (time.monotonic() - began) / PAUSE_SECONDS
