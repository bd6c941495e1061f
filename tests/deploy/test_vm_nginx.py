"""nginx of deploy/vm before an instance: uploads, streams, limits, and what it says itself."""

import socket
import subprocess
from collections.abc import Iterator

import pytest

from drills.server import free_port
from drills.waiting import wait_until
from project.observability.context import accept_request_id
from tests.deploy.vm_backend import Backend, backend
from tests.deploy.vm_files import directives, env_file, size
from tests.deploy.vm_nginx import NAME, Nginx, prepared, running

UPLOAD = "/v1/models/classification/predictions"
PROBLEM = "application/problem+json"
SOON = {"proxy_read_timeout 30s": "proxy_read_timeout 1s"}  # nobody waits half a minute here


@pytest.fixture
def instance() -> Iterator[Backend]:
    with backend() as found:
        yield found


@pytest.fixture
def nginx(instance, tmp_path) -> Iterator[Nginx]:
    """Before one instance that serves, and one that refuses every connection."""
    with running(prepared(tmp_path / "nginx", (instance.port, free_port()), SOON)) as found:
        yield found


def request(path: str, *headers: str, method: str = "GET") -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {NAME}", *headers, "", ""]).encode()


def problem_of(answer) -> dict:
    """The problem document of an answer, which names the request as its header does."""
    assert answer.headers["Content-Type"] == PROBLEM, answer.text
    assert "Server" not in answer.headers or "/" not in answer.headers["Server"]
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["request_id"] == answer.headers["X-Request-ID"]
    assert told["detail"]
    return told


def test_nginx_accepts_the_configuration(tmp_path):
    """With no warning either, and the file for another machine's Prometheus beside it."""
    nginx = prepared(tmp_path / "nginx", (free_port(), free_port()))
    metrics = nginx.folder / "metrics.conf"
    text = metrics.read_text().replace("10.0.0.5:9464", f"127.0.0.1:{free_port()}")
    metrics.write_text(text)
    with (nginx.folder / "vitrine.conf").open("a") as file:
        file.write(f"include {metrics};\n")
    done = subprocess.run(nginx.command("-t"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_an_upload_as_large_as_the_api_takes_passes(nginx, instance):
    """And so does one a little larger, so that the API's own refusal is the one that is seen."""
    most = int(env_file("vitrine.env")["MAX_BODY_BYTES"])
    with nginx.client() as client:
        for length in (most, most + 1024):
            assert client.post(UPLOAD, content=bytes(length)).json()["bytes"] == length


def test_a_far_larger_upload_is_refused_as_a_problem(nginx, instance):
    """Before any instance hears of it."""
    (limit,) = directives("client_max_body_size")
    with nginx.client() as client:
        assert problem_of(client.post(UPLOAD, content=bytes(size(limit) + 1)))["status"] == 413
    assert instance.begun == []


def test_a_slow_upload_holds_no_instance(nginx, instance):
    """The instance hears of it when the last byte is in."""
    with (
        socket.create_connection(("127.0.0.1", nginx.https)) as plain,
        nginx.context().wrap_socket(plain, server_hostname=NAME) as slow,
        nginx.client() as client,
    ):
        slow.sendall(request(UPLOAD, "Content-Length: 10", method="POST") + b"12345")
        assert client.get("/another").status_code == 200
        assert instance.begun == ["GET /another"]
        slow.sendall(b"67890")
        assert b" 200 " in slow.recv(100)
    assert instance.begun[-1] == f"POST {UPLOAD}"


def test_events_come_as_they_happen(nginx, instance):
    """The first one before the stream has ended."""
    with nginx.client() as client, client.stream("GET", "/v1/jobs/1/events") as answer:
        pieces = answer.iter_text()
        assert "id: 1" in next(pieces)
        instance.release.set()
        assert "id: 2" in "".join(pieces)


def test_a_websocket_passes(nginx):
    """The handshake is the instance's, and bytes go both ways after it."""
    head = request("/v1/models/detection/stream", "Upgrade: websocket", "Connection: Upgrade")
    with (
        socket.create_connection(("127.0.0.1", nginx.https)) as plain,
        nginx.context().wrap_socket(plain, server_hostname=NAME) as stream,
    ):
        stream.sendall(head)
        assert b" 101 " in stream.recv(1000)
        stream.sendall(b"frame")
        assert stream.recv(100) == b"frame"


def test_no_other_upgrade_passes(nginx):
    """A connection that changed its protocol unseen would be a way round all limits."""
    with nginx.client() as client:
        headers = client.get("/", headers={"Upgrade": "h2c", "Connection": "Upgrade"}).json()
    assert not {"Upgrade", "Connection"} & set(headers["headers"])


def test_metrics_are_not_to_be_had_from_outside(nginx, instance):
    """However the path is written."""
    with nginx.client() as client:
        for path in ("/metrics", "/x/..//metrics", "/%6detrics", "/x/../metrics"):
            assert problem_of(client.get(path))["status"] == 404
    assert instance.begun == []


def test_a_caller_cannot_say_who_it_is(nginx):
    """Its own address and scheme take the place of what it claims."""
    claims = {
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Proto": "gopher",
        "Forwarded": "for=1.2.3.4",
    }
    with nginx.client() as client:
        headers = client.get("/", headers=claims).json()["headers"]
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "https"
    assert "Forwarded" not in headers


@pytest.mark.parametrize("wanted", ["abc-1", "A" * 128, "A" * 129, "a b", '"}', "-x", ""])
def test_a_request_id_is_taken_where_the_api_takes_it(nginx, wanted):
    """Else nginx makes one; either way the log here and there have the same."""
    with nginx.client() as client:
        given = client.get("/", headers={"X-Request-ID": wanted}).json()["headers"]["X-Request-ID"]
    assert (given == wanted) == (bool(wanted) and accept_request_id(wanted) == wanted)
    assert accept_request_id(given) == given
    wait_until(nginx.access_log, "the request is in the log", 5)
    assert nginx.access_log()[-1]["request_id"] == given


def test_the_log_has_the_time_of_the_instance_and_no_signature(nginx):
    """The query of a result's address is what lets its reader in."""
    with nginx.client() as client:
        client.get("/v1/files/a?signature=secret")
    wait_until(nginx.access_log, "the request is in the log", 5)
    line = nginx.access_log()[-1]
    assert line["path"] == "/v1/files/a"
    assert "secret" not in str(line)
    assert float(line["upstream_seconds"].split(", ")[-1]) >= 0
    assert line["status"] == 200


def test_no_instance_is_a_problem_document(tmp_path):
    """A 502 that a program can read, with the id to report."""
    nothing = prepared(tmp_path / "nginx", (free_port(), free_port()))
    with running(nothing) as nginx, nginx.client() as client:
        answer = client.get("/v1/models", headers={"X-Request-ID": "mine"})
    assert problem_of(answer)["request_id"] == "mine"
    assert answer.status_code == 502
    assert int(answer.headers["Retry-After"]) > 0


def test_an_instance_that_hangs_is_a_problem_document(nginx):
    """A 504, when its time is over."""
    with nginx.client() as client:
        assert problem_of(client.get("/hang"))["status"] == 504


def test_a_post_is_never_sent_twice(nginx, instance):
    """It may have been done; the caller alone knows whether to ask again."""
    with nginx.client() as client:
        assert problem_of(client.post("/drop", content=b"x"))["status"] == 502
    assert instance.begun == ["POST /drop"]


def test_an_address_that_sends_too_much_is_told_so(instance, tmp_path):
    """With 429, and when to come back; the rate is lower here, as the machine may be slow."""
    (burst,) = directives("limit_req")
    most = int(burst.split("burst=")[1].split()[0])
    slowly = prepared(tmp_path / "n", (instance.port, free_port()), {"rate=50r/s": "rate=1r/s"})
    with running(slowly) as nginx, nginx.client() as client:
        answers = [client.get("/") for _ in range(2 * most)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert len(answers) - len(refused) >= most
    assert problem_of(refused[0])["status"] == 429
    assert refused[0].headers["Retry-After"] == "1"


def test_an_instance_that_does_not_serve_is_asked_last(tmp_path):
    """It loads its models, or leaves: its socket is open, and nobody is to wait in it."""
    with backend() as first, backend() as second:
        nginx = prepared(tmp_path / "nginx", (first.port, second.port))
        nginx.serving(0).unlink()
        with running(nginx), nginx.client() as client:
            assert {client.get("/").status_code for _ in range(4)} == {200}
            assert (len(first.begun), len(second.begun)) == (0, 4)
            nginx.serving(0).touch()
            nginx.serving(1).unlink()
            assert {client.get("/").status_code for _ in range(4)} == {200}
            assert (len(first.begun), len(second.begun)) == (4, 4)


def test_an_instance_alone_is_asked_whatever_its_file_says(nginx, instance):
    """Here the other one refuses, and neither has its file."""
    for number in range(2):
        nginx.serving(number).unlink()
    with nginx.client() as client:
        assert client.get("/").status_code == 200


def test_plain_http_leads_to_https(nginx, instance):
    """But for the questions of a certificate's issuer."""
    challenge = nginx.folder / "www/.well-known/acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("answer")
    with nginx.client() as client:
        base = f"http://127.0.0.1:{nginx.http}"
        answer = client.get(f"{base}/v1/models?x=1")
        assert answer.status_code == 301
        assert answer.headers["Location"] == f"https://{NAME}/v1/models?x=1"
        assert client.get(f"{base}/.well-known/acme-challenge/token").text == "answer"
    assert instance.begun == []


def test_what_a_machine_adds_holds_for_every_caller(instance, tmp_path):
    """A line of its own in the folder that is never replaced."""
    made = prepared(tmp_path, [instance.port, free_port()])
    (tmp_path / "local").mkdir()
    (tmp_path / "local/callers.conf").write_text("deny all;\n")
    with running(made), made.client() as client:
        assert client.get("/health").status_code == 403
