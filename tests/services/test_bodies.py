"""Bodies over TCP: too large, without a length, slow, or abandoned halfway."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest

from drills.server import Metrics, Server
from drills.waiting import DEADLINE, wait_until
from tests.services.load import PICTURE, Client
from tests.services.quick_app import PATH
from tests.services.server import serve
from tests.services.wire import Answer, connect, exchange, head, read_answer

LIMIT = 1 << 20
MUCH = 50 << 20
CHUNK = b"%x\r\n%s\r\n" % (1 << 16, b"x" * (1 << 16))
IMAGE = "Content-Type: image/png"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bodies")
    with serve(folder, WEB_CONCURRENCY=1, MAX_BODY_BYTES=LIMIT) as server:
        yield server


def assert_refused_as_too_large(answer: Answer) -> None:
    assert answer.status == 413
    assert not answer.reset
    assert "application/problem+json" in answer.text
    problem = json.loads(answer.text.partition("\r\n\r\n")[2])
    assert problem["title"] == "Content too large"
    assert f"{LIMIT:,} bytes" in problem["detail"]


def test_an_upload_that_declares_too_much_is_refused_and_the_client_can_read_it(server):
    """It sends all of it before it reads, as most clients do, and meets no reset connection."""
    request = head("POST", PATH, IMAGE, f"Content-Length: {MUCH}") + b"x" * MUCH
    assert_refused_as_too_large(exchange(server.port, request))


def test_a_common_client_reads_the_refusal_of_a_huge_form(server):
    """No error of the connection hides the advice."""
    answer = httpx2.post(
        server.url + PATH, files={"image": ("a.png", b"x" * MUCH)}, timeout=DEADLINE
    )
    assert answer.status_code == 413
    assert answer.json()["status"] == 413


def test_an_upload_without_a_length_is_cut_off_at_the_limit(server):
    """The refusal comes while the client could go on for ever."""
    with connect(server.port) as connection:
        connection.sendall(head("POST", PATH, IMAGE, "Transfer-Encoding: chunked"))
        for _ in range(LIMIT // (1 << 16) + 1):
            connection.sendall(CHUNK)
        connection.settimeout(DEADLINE)
        first = connection.recv(1 << 16)
        assert first.startswith(b"HTTP/1.1 413 ")
        connection.sendall(CHUNK * 4)  # it has not hung up on us yet
        connection.shutdown(socket.SHUT_WR)
        rest = read_answer(connection)
    text = first.decode() + rest.text
    assert_refused_as_too_large(Answer(413, text, rest.reset))


def test_a_client_that_never_stops_sending_is_hung_up_on(server):
    """Reading on is a courtesy with an end: here after 100 MiB, for the slow after 30 s."""

    def send_for_ever(connection: socket.socket) -> None:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            connection.sendall(CHUNK * 16)

    with connect(server.port) as connection:
        connection.sendall(head("POST", PATH, IMAGE, "Transfer-Encoding: chunked"))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_for_ever(connection)


def test_a_client_that_waits_for_leave_to_send_is_refused_at_once(server):
    """With `Expect: 100-continue` the huge body is never sent, nor waited for."""
    lines = (IMAGE, f"Content-Length: {MUCH}", "Expect: 100-continue")
    answer = exchange(server.port, head("POST", PATH, *lines))
    assert "100 Continue" not in answer.text
    assert_refused_as_too_large(answer)


CHUNKED = head("POST", PATH, IMAGE, "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /", b"a" * 1000),
        (b"GET / HTTP/1.1\r\nX-A: ", b"a" * 1000),
        (b"GET / HTTP/1.1\r\n", b"X-A: %s\r\n" % (b"a" * 1000)),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"X-A: %s\r\n" % (b"a" * 1000)),
        (CHUNKED + b"1\r\nx\r\n0\r\nX-A: ", b"a" * 1000),
    ],
    ids=["path", "header", "headers", "trailers", "trailer"],
)
def test_a_head_without_end_is_hung_up_on(server, start, more):
    """Neither it nor the trailers of a body may fill the memory of a worker."""
    with connect(server.port) as connection, pytest.raises((ConnectionResetError, BrokenPipeError)):
        connection.sendall(start + more * (50 << 10))


def test_a_head_of_sixty_kilobytes_is_none_too_large(server):
    """Cookies and tokens of that size are a nuisance and no attack."""
    lines = [f"X-{number}: {'a' * 1000}" for number in range(60)]
    assert exchange(server.port, head("GET", "/v1/models", *lines)).status == 200


def test_clients_that_dawdle_do_not_keep_others_waiting(tmp_path):
    """Half-sent heads hold no place, and half-sent bodies one for a second at most."""
    half = head("POST", PATH, IMAGE, "Content-Length: 1000") + b"x" * 10
    dawdlers = []
    with serve(tmp_path, WEB_CONCURRENCY=1, QUEUE_LIMIT=16) as server:
        try:
            for request in (half[:40], half):
                for _ in range(50):
                    dawdlers.append(connect(server.port))
                    dawdlers[-1].sendall(request)
            client = Client(server.port)
            wait_until(lambda: client.predict().status == 200, "they have given their places back")
            assert [client.predict().status for _ in range(20)] == [200] * 20
            client.close()
        finally:
            for dawdler in dawdlers:
                dawdler.close()


def test_a_client_that_hangs_up_while_it_sends_is_no_fault_of_ours(server):
    """It is counted as 499, and no alert on 5xx hears of it."""
    before = server.metrics()
    with connect(server.port) as connection:
        connection.sendall(head("POST", PATH, IMAGE, "Content-Length: 1000") + b"x" * 10)
        wait_until(lambda: server.metrics().value("http_requests_inprogress") == 1, "it has begun")
    wait_until(lambda: requests(server.metrics(), "499") > requests(before, "499"), "it is counted")
    assert_no_faults(server)


def test_a_client_that_hangs_up_while_it_waits_is_no_fault_of_ours(server):
    """Its prediction is given up and counted as cancelled, not as an error."""
    before = server.metrics()
    request = head("POST", f"{PATH}?seconds=3", IMAGE, f"Content-Length: {len(PICTURE)}")
    with connect(server.port) as connection:
        connection.sendall(request + PICTURE)
        wait_until(lambda: server.metrics().value("inference_queue_depth") == 1, "it has begun")
    wait_until(lambda: requests(server.metrics(), "499") > requests(before, "499"), "it is counted")
    now = server.metrics()
    assert cancelled(now) == cancelled(before) + 1
    assert requests(now, "200") == requests(before, "200")
    assert_no_faults(server)


def cancelled(metrics: Metrics) -> float:
    return metrics.value("inference_requests_total", outcome="cancelled")


def requests(metrics: Metrics, status: str) -> float:
    return metrics.value("http_requests_total", status=status)


def assert_no_faults(server: Server) -> None:
    metrics = server.metrics()
    faults = [sample for sample in metrics.samples if sample.labels.get("status", "")[:1] == "5"]
    assert [sample for sample in faults if sample.value] == []
    assert metrics.value("inference_requests_total", outcome="error") == 0
    assert server.records("request_failed") == []


def test_a_slow_sender_can_read_the_refusal_too(server):
    """Its body comes in small pieces with pauses, each of which shows that it is still there."""
    lines = (IMAGE, f"Content-Length: {MUCH}")
    with connect(server.port) as connection:
        connection.sendall(head("POST", PATH, *lines))
        pause = threading.Event()
        for _ in range(20):
            connection.sendall(b"x" * 1000)
            pause.wait(0.3)  # six seconds in all: silence of five would end the courtesy
        connection.shutdown(socket.SHUT_WR)
        assert_refused_as_too_large(read_answer(connection))
