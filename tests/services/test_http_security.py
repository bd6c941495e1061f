"""One server, asked straight and through both nginx: what a client may claim, send and see."""

import itertools
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from drills.server import Server, free_port
from drills.waiting import DEADLINE, wait_until
from tests.deploy import compose_edge, vm_nginx
from tests.services.load import PICTURE, Client
from tests.services.quick_app import PATH
from tests.services.server import serve
from tests.services.streams import LIGHT, streaming
from tests.services.wire import exchange, head

PAGE = "https://app.example"
PROXIES = ("127.0.0.2", "127.0.0.3")
IMAGE = "Content-Type: image/png"
SLOW = 1  # second

Connect = Callable[[], socket.socket]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It trusts two proxies, and pages of one origin; a request has a second to arrive."""
    folder = tmp_path_factory.mktemp("server")
    settings = {
        "WEB_CONCURRENCY": 1,
        "QUEUE_LIMIT": 1,
        "METRICS_PORT": free_port(),
        "BODY_TIMEOUT_SECONDS": SLOW,
        "CORS_ORIGINS": PAGE,
        "FORWARDED_ALLOW_IPS": ",".join(PROXIES),
    }
    with serve(folder, **settings) as server:
        yield server


@pytest.fixture(scope="module")
def straight(server) -> Connect:
    return lambda: socket.create_connection(("127.0.0.1", server.port), DEADLINE)


@pytest.fixture(scope="module")
def edge(server, tmp_path_factory) -> Iterator[Connect]:
    """Through the nginx of deploy/compose."""
    changes = {"client_header_timeout 10s": f"client_header_timeout {SLOW}s"}
    with compose_edge.running(tmp_path_factory.mktemp("edge"), server.port, changes) as port:
        yield lambda: socket.create_connection(("127.0.0.1", port), DEADLINE)


@pytest.fixture(scope="module")
def vm(server, tmp_path_factory) -> Iterator[Connect]:
    """Through the nginx of deploy/vm, with TLS."""
    changes = {
        "rate=50r/s": "rate=9999r/s",
        "client_header_timeout 10s": f"client_header_timeout {SLOW}s",
        "client_body_timeout 30s": f"client_body_timeout {SLOW}s",
    }
    folder = tmp_path_factory.mktemp("vm") / "nginx"
    prepared = vm_nginx.prepare(folder, (server.port, free_port()), changes)
    with vm_nginx.running(prepared) as nginx:

        def connect() -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", nginx.https), DEADLINE)
            return nginx.context().wrap_socket(plain, server_hostname=vm_nginx.NAME)

        yield connect


@pytest.fixture(scope="module")
def client(server) -> Iterator[Client]:
    client = Client(server.port)
    yield client
    client.close()


@pytest.fixture(params=["straight", "edge", "vm"])
def way(request) -> Connect:
    return request.getfixturevalue(request.param)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, list[str]]  # names in lower case
    body: str

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id", [None])[0]


def answers(connection: socket.socket) -> list[Answer]:
    """Every answer until the connection ends; none of ours has a status line in its body."""
    received = bytearray()
    try:
        while piece := connection.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return [_parsed(part) for part in received.decode("latin-1").split("HTTP/1.1 ")[1:]]


def _parsed(text: str) -> Answer:
    lines, _, body = text.partition("\r\n\r\n")
    status, *fields = lines.split("\r\n")
    headers: dict[str, list[str]] = {}
    for field in fields:
        name, _, value = field.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    return Answer(int(status[:3]), headers, body)


def ask(connection: socket.socket, *pieces: bytes) -> list[Answer]:
    """Send, and read to the end."""
    with connection:
        for piece in pieces:
            connection.sendall(piece)
        return answers(connection)


# What no request may be taken for, and which proxies and servers have read differently.

INNER = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX-Request-ID: %s\r\n\r\n"
PROBE = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX-Request-ID: probe\r\nConnection: close\r\n\r\n"
NUMBERS = itertools.count()


def post(*lines: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    start = b"POST /v1/models HTTP/%s" % version
    return b"\r\n".join((start, b"Host: a", *lines, b"", body))


def chunked(inner: bytes, size: bytes) -> bytes:
    body = b"%s\r\n%s\r\n0\r\n\r\n" % (size, inner)
    return post(b"Transfer-Encoding: chunked", body=body)


def beside_a_length(inner: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    """A body by its length, which by these lines ends before what is in it."""
    body = b"0\r\n\r\n" + inner
    return post(b"Content-Length: %d" % len(body), *lines, body=body, version=version)


def lengths(inner: bytes, *values: bytes) -> bytes:
    size = b"%d" % len(inner)
    return post(*(b"Content-Length: " + value.replace(b"N", size) for value in values), body=inner)


CHUNKED = b"Transfer-Encoding: chunked"
CASES: dict[str, Callable[[bytes], bytes]] = {
    "length and encoding": lambda it: beside_a_length(it, CHUNKED),
    "encoding and length": lambda it: post(
        CHUNKED, b"Content-Length: 4", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(it), it)
    ),
    "two lengths": lambda it: lengths(it, b"0", b"N"),
    "two lengths, the longer first": lambda it: lengths(it, b"N", b"0"),
    "a length twice": lambda it: lengths(it, b"N", b"N"),
    "a list of lengths": lambda it: lengths(it, b"N, N"),
    "a length with a sign": lambda it: lengths(it, b"+N"),
    "a negative length": lambda it: lengths(it, b"-1"),
    "a length in hex": lambda it: lengths(it, b"0x40"),
    "a length beyond 64 bits": lambda it: lengths(it, b"184467440737095516%d" % (len(it) + 16)),
    "an unknown encoding": lambda it: beside_a_length(it, b"Transfer-Encoding: xchunked"),
    "an encoding after chunked": lambda it: beside_a_length(
        it, b"Transfer-Encoding: chunked, identity"
    ),
    "two encodings": lambda it: beside_a_length(it, b"Transfer-Encoding: identity", CHUNKED),
    "a quoted encoding": lambda it: beside_a_length(it, b'Transfer-Encoding: "chunked"'),
    "an encoding behind a tab": lambda it: beside_a_length(it, b"Transfer-Encoding:\x0bchunked"),
    "a space before the colon": lambda it: beside_a_length(it, b"Transfer-Encoding : chunked"),
    "an underscore": lambda it: beside_a_length(it, b"Transfer_Encoding: chunked"),
    "an encoding in HTTP/1.0": lambda it: beside_a_length(it, CHUNKED, version=b"1.0"),
    "a folded encoding": lambda it: beside_a_length(it, b"Transfer-Encoding:\r\n chunked"),
    "a folded header": lambda it: beside_a_length(it, b"X-A: 1\r\n Transfer-Encoding: chunked"),
    "a folded first header": lambda it: b"GET /v1/models HTTP/1.1\r\n X-A: 1\r\nHost: a\r\n\r\n",
    "lines that end in LF": lambda it: b"GET /v1/models HTTP/1.1\nHost: a\n\n",
    "an encoding behind LF": lambda it: beside_a_length(it, b"X-A: 1\nTransfer-Encoding: chunked"),
    "an encoding behind CR": lambda it: beside_a_length(it, b"X-A: 1\rTransfer-Encoding: chunked"),
    "a zero byte": lambda it: beside_a_length(it, b"X-A: 1\0" + CHUNKED),
    "a chunk of no number": lambda it: chunked(it, b"zz"),
    "a negative chunk": lambda it: chunked(it, b"-1"),
    "a chunk in 0x": lambda it: chunked(it, b"0x%x" % len(it)),
    "a chunk without a size": lambda it: chunked(it, b""),
    "a chunk beyond 64 bits": lambda it: chunked(it, b"1%016x" % len(it)),
    "a chunk longer than its size": lambda it: chunked(it, b"1"),
    "a chunk that ends in LF": lambda it: post(CHUNKED, body=b"1\na\n0\n\n"),
    "an extension that ends in LF": lambda it: chunked(it, b"%x;a\nb" % len(it)),
    "a body of a GET": lambda it: (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(it), it)
    ),
}
WELL_FORMED = {"an underscore", "a body of a GET"}  # each is one request


@pytest.mark.parametrize("case", CASES)
def test_no_part_of_a_request_is_taken_for_another(server, client, way, case):
    """It has one answer; then the connection is closed, or the next request has its own."""
    hidden = f"hidden-{next(NUMBERS)}"
    first, *more = ask(way(), CASES[case](INNER % hidden.encode()) + PROBE)
    assert first.request_id not in {hidden, "probe"}
    assert [(answer.status, answer.request_id) for answer in more] in ([], [(200, "probe")])
    later = client.request("GET", "/v1/models").request_id
    wait_until(lambda: later in server.log(), "the log has what came later")
    assert f'"{hidden}"' not in server.log()


@pytest.mark.parametrize("case", [case for case in CASES if case not in WELL_FORMED])
def test_the_server_refuses_each_by_itself(straight, case):
    """Whatever proxy is before it, or none; and it reads nothing of what follows."""
    (answer,) = ask(straight(), CASES[case](INNER % b"hidden") + PROBE)
    assert answer.status == 400


# Slow clients.


def test_slow_heads_are_disconnected(straight, edge, vm):
    """However regularly their bytes come, and by nginx where there is one."""
    start = head("POST", PATH, IMAGE)[:-2] + b"X-A: "
    with ExitStack() as stack:
        slow = [stack.enter_context(connect()) for connect in (straight, edge, vm)]
        for connection in slow:
            connection.sendall(start)
        pause = threading.Event()
        for _ in range(4 * SLOW):
            pause.wait(0.2)
            for connection in slow:
                connection.sendall(b"a")
        for connection in slow:
            assert {answer.status for answer in answers(connection)} <= {408}


@pytest.mark.parametrize("name", ["straight", "edge", "vm"])
def test_slow_bodies_end_and_hold_up_nobody(client, request, name):
    """With a 408 that says why; nginx of deploy/vm takes bodies in first, and just disconnects."""
    with request.getfixturevalue(name)() as slow:
        slow.sendall(head("POST", PATH, IMAGE, "Content-Length: 1000") + b"x" * 10)
        assert client.request("GET", "/v1/models").status == 200
        ended = answers(slow)
    assert [answer.status for answer in ended] == ([] if name == "vm" else [408])
    types = {json.loads(answer.body)["type"] for answer in ended}
    assert types <= {"urn:vitrine:problem:slow-upload"}


# Proxies.


def claimed(server: Server, peer: str, *lines: str) -> tuple[str, bool]:
    """The client in the log, and whether it is told to stay with https, for a request of a peer."""
    name = f"claim-{next(NUMBERS)}"
    connection = socket.create_connection(("127.0.0.1", server.port), DEADLINE, (peer, 0))
    (answer,) = ask(connection, head("GET", "/v1/models", f"X-Request-ID: {name}", *lines))
    assert answer.status == 200
    wait_until(lambda: name in server.log(), "the log has it")
    (record,) = [it for it in server.records("request_served") if it["request_id"] == name]
    return record["client"], "strict-transport-security" in answer.headers


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.4"])
def test_what_an_untrusted_peer_claims_changes_nothing(server, peer):
    """It is logged by its own address, and not told of https."""
    claims = ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6")
    assert claimed(server, peer, *claims) == (peer, False)


@pytest.mark.parametrize(
    "lists",
    [
        ["9.9.9.9"],
        ["6.6.6.6, 9.9.9.9"],
        ["6.6.6.6, 9.9.9.9, 127.0.0.3"],
        ["6.6.6.6", "9.9.9.9"],
        ["127.0.0.3, 6.6.6.6,9.9.9.9 ,127.0.0.3,127.0.0.2"],
    ],
)
def test_behind_trusted_proxies_the_client_is_the_first_from_the_right(server, lists):
    """What stands to the left of it is what the client itself has sent."""
    lines = [f"X-Forwarded-For: {value}" for value in lists]
    assert claimed(server, PROXIES[0], *lines, "X-Forwarded-Proto: https") == ("9.9.9.9", True)


@pytest.mark.parametrize("scheme", ["http", "gopher", "https, http", ""])
def test_a_trusted_proxy_that_does_not_say_https_has_no_https(server, scheme):
    """A browser on plain http must not be told to leave it."""
    lines = ("X-Forwarded-For: 9.9.9.9", f"X-Forwarded-Proto: {scheme}")
    assert claimed(server, PROXIES[0], *lines) == ("9.9.9.9", False)


# Headers.


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/docs", "/v1/models", "/none", "/static/app.js", "/docs/files/swagger-ui.css"),
        *("/v1/models/shade/stream", "/v1/files/x", "/health", "*"),
    ],
)
def test_every_response_keeps_browsers_from_guessing_and_from_telling(straight, path):
    """Errors as well, once each; `*` is malformed, and the server's own answer."""
    (answer,) = ask(straight(), head("GET", path, "Accept: text/html"))
    assert_guarded(answer)


def test_so_does_the_port_of_the_metrics(server):
    """And its errors."""
    for path in ("/metrics", "/none"):
        text = exchange(server.metrics_port, head("GET", path)).text
        assert_guarded(_parsed(text.removeprefix("HTTP/1.1 ")))


def assert_guarded(answer: Answer) -> None:
    assert answer.headers["x-content-type-options"] == ["nosniff"]
    assert answer.headers["referrer-policy"] == ["no-referrer"]


def test_a_page_of_an_allowed_origin_reads_a_rejection_under_overload(server, straight):
    """Which has passed none of the application; it says when to retry."""
    busy = Client(server.port)
    inside = threading.Thread(target=busy.predict, kwargs={"seconds": 1})
    inside.start()
    wait_until(lambda: server.metrics().value("inference_queue_depth") == 1, "it is full")
    lines = (IMAGE, f"Content-Length: {len(PICTURE)}", f"Origin: {PAGE}")
    (answer,) = ask(straight(), head("POST", PATH, *lines) + PICTURE)
    inside.join()
    busy.close()
    assert answer.status == 503
    assert_guarded(answer)
    assert answer.headers["access-control-allow-origin"] == [PAGE]
    assert re.search(r"\bRetry-After\b", answer.headers["access-control-expose-headers"][0])
    assert server.records("requests_refused")


def test_a_page_of_an_allowed_origin_may_open_a_stream(server):
    """As CORS does not cover WebSockets, the setting has to."""
    with streaming(server, origin=PAGE) as stream:
        assert stream.ask(LIGHT)["frame"] == 1
