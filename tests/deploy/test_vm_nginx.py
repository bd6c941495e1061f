"""nginx of deploy/vm in front of a stub of the API: uploads, streams, limits, its own errors."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drills.server import free_port
from drills.waiting import wait_until
from project.observability.context import accept_request_id
from tests.deploy.command import run
from tests.deploy.http_stub import StubApi, serve
from tests.deploy.vm_files import directive, env_file, size
from tests.deploy.vm_nginx import NAME, Nginx, prepare, running

UPLOAD = "/v1/models/classification/predictions"
SHORT = {"proxy_read_timeout 30s": "proxy_read_timeout 1s"}


@pytest.fixture(scope="module")
def stub() -> Iterator[StubApi]:
    with serve(StubApi()) as found:
        yield found


@pytest.fixture(scope="module")
def nginx(stub, tmp_path_factory) -> Iterator[Nginx]:
    """In front of one instance that serves, and one that refuses every connection.

    Without the limit on requests, which has a test of its own.
    """
    changes = SHORT | {"rate=50r/s": "rate=9999r/s"}
    folder = tmp_path_factory.mktemp("vm") / "nginx"
    with running(prepare(folder, (stub.port, free_port()), changes)) as found:
        yield found


@pytest.fixture
def instance(stub) -> StubApi:
    stub.requests.clear()
    stub.resume.clear()
    return stub


@pytest.fixture
def client(nginx):
    with nginx.client() as found:
        yield found


@contextmanager
def raw(nginx: Nginx, path: str, *headers: str, method: str = "GET") -> Iterator[socket.socket]:
    head = [f"{method} {path} HTTP/1.1", f"Host: {NAME}", *headers, "", ""]
    with (
        socket.create_connection(("127.0.0.1", nginx.https)) as plain,
        nginx.context().wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        connection.sendall("\r\n".join(head).encode())
        yield connection


def received(instance: StubApi) -> list[str]:
    return [request.line for request in instance.requests]


def problem_of(answer) -> dict:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    assert "/" not in answer.headers.get("Server", "")
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["detail"]
    return problem


def test_nginx_accepts_the_configuration(tmp_path):
    """Without a warning, and with the file for another machine's Prometheus included."""
    nginx = prepare(tmp_path / "nginx", (free_port(), free_port()))
    metrics = nginx.folder / "metrics.conf"
    text = metrics.read_text().replace("10.0.0.5:9464", f"127.0.0.1:{free_port()}")
    metrics.write_text(text)
    with (nginx.folder / "vitrine.conf").open("a") as file:
        file.write(f"include {metrics};\n")
    done = run(*nginx.command("-t"))
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_the_api_judges_uploads_and_nginx_refuses_far_larger_ones(client, instance):
    """Above MAX_BODY_BYTES the API names its limit; beyond nginx's it does not get the request."""
    limit = int(env_file("vitrine.env")["MAX_BODY_BYTES"])
    for length in (limit, limit + 1024):
        assert client.post(UPLOAD, content=bytes(length)).json()["bytes"] == length
    instance.requests.clear()
    content = bytes(size(directive("client_max_body_size")) + 1)
    assert problem_of(client.post(UPLOAD, content=content))["status"] == 413
    assert received(instance) == []


def test_a_slow_upload_holds_no_instance(nginx, client, instance):
    with raw(nginx, UPLOAD, "Content-Length: 10", method="POST") as slow:
        slow.sendall(b"12345")
        assert client.get("/another").status_code == 200
        assert received(instance) == ["GET /another"]
        slow.sendall(b"67890")
        assert b" 200 " in slow.recv(100)
    assert received(instance)[-1] == f"POST {UPLOAD}"


def test_events_pass_one_by_one(client, instance):
    with client.stream("GET", "/v1/jobs/1/events") as answer:
        parts = answer.iter_text()
        assert "id: 1" in next(parts)
        instance.resume.set()
        assert "id: 2" in "".join(parts)


def test_a_websocket_passes_and_no_other_upgrade(nginx, client, instance):
    upgrade = ("Upgrade: websocket", "Connection: Upgrade")
    with raw(nginx, "/v1/models/detection/stream", *upgrade) as stream:
        assert b" 101 " in stream.recv(1000)
        stream.sendall(b"frame")
        assert stream.recv(100) == b"frame"
    answer = client.get("/", headers={"Upgrade": "h2c", "Connection": "Upgrade"})
    assert not {"Upgrade", "Connection"} & set(answer.json()["headers"])


def test_metrics_cannot_be_read_from_outside(client, instance):
    for path in ("/metrics", "/x/..//metrics", "/%6detrics", "/x/../metrics"):
        assert problem_of(client.get(path))["status"] == 404
    assert received(instance) == []


def test_plain_http_is_redirected_but_for_the_challenge_of_a_certificate(nginx, client, instance):
    challenge = nginx.folder / "www/.well-known/acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("answer")
    url = f"http://127.0.0.1:{nginx.http}"
    answer = client.get(f"{url}/v1/models?x=1")
    assert answer.status_code == 301
    assert answer.headers["Location"] == f"https://{NAME}/v1/models?x=1"
    assert client.get(f"{url}/.well-known/acme-challenge/token").text == "answer"
    assert received(instance) == []


def test_the_client_cannot_choose_its_address(client):
    claims = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "gopher", "Forwarded": "for=1"}
    headers = client.get("/", headers=claims).json()["headers"]
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "https"
    assert "Forwarded" not in headers


@pytest.mark.parametrize("wanted", ["abc-1", "A" * 128, "A" * 129, "a b", '"}', "-x", ""])
def test_nginx_accepts_the_request_ids_that_the_api_accepts(nginx, client, wanted):
    """It makes one in the place of any other; its log has the same one, and no query."""
    path = "/v1/files/a?signature=secret"  # the query of a result's URL is its signature
    answer = client.get(path, headers={"X-Request-ID": wanted})
    given = answer.json()["headers"]["X-Request-ID"]
    assert (given == wanted) == (bool(wanted) and accept_request_id(wanted) == wanted)
    assert accept_request_id(given) == given
    wait_until(lambda: nginx.access_log()[-1:], "the log has a line", 5)
    wait_until(lambda: nginx.access_log()[-1]["request_id"] == given, "the log has the request", 5)
    line = nginx.access_log()[-1]
    assert (line["path"], line["status"]) == ("/v1/files/a", 200)
    assert "secret" not in str(line)
    assert float(line["upstream_seconds"].split(", ")[-1]) >= 0


def test_without_an_instance_the_answer_is_a_problem_document(tmp_path):
    with (
        running(prepare(tmp_path / "nginx", (free_port(), free_port()))) as nginx,
        nginx.client() as client,
    ):
        answer = client.get("/v1/models", headers={"X-Request-ID": "mine"})
    assert problem_of(answer)["request_id"] == "mine"
    assert answer.status_code == 502
    assert int(answer.headers["Retry-After"]) > 0


def test_a_request_that_hangs_or_breaks_off_is_not_repeated(client, instance):
    assert problem_of(client.get("/hang"))["status"] == 504
    instance.resume.set()
    assert problem_of(client.post("/drop", content=b"x"))["status"] == 502
    assert received(instance) == ["GET /hang", "POST /drop"]


def test_an_address_that_sends_too_much_gets_429(instance, tmp_path):
    """With Retry-After; the rate is lower here, as the machine may be slow."""
    burst = int(directive("limit_req").split("burst=")[1].split()[0])
    made = prepare(tmp_path / "n", (instance.port, free_port()), {"rate=50r/s": "rate=1r/s"})
    with running(made) as nginx, nginx.client() as client:
        answers = [client.get("/") for _ in range(2 * burst)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert len(answers) - len(refused) >= burst
    assert problem_of(refused[0])["status"] == 429
    assert refused[0].headers["Retry-After"] == "1"


def test_an_instance_that_is_not_ready_gets_no_requests(tmp_path):
    with serve(StubApi()) as first, serve(StubApi()) as second:
        nginx = prepare(tmp_path / "nginx", (first.port, second.port))
        with running(nginx), nginx.client() as client:
            for unready, counts in ((0, (0, 4)), (1, (4, 4))):
                nginx.serving(unready).unlink()
                assert {client.get("/").status_code for _ in range(4)} == {200}
                assert (len(first.requests), len(second.requests)) == counts
                if unready == 0:
                    nginx.serving(0).touch()
