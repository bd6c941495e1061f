"""No password, token, key, e-mail or document number is in anything that a whole run writes.

One server with accounts is used and misused; then its stdout, LOG_FILE, metrics, traces, error
reports, problem documents and database are searched for all that was sent and received.
"""

import base64
import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import quote, quote_plus

import httpx2
import pytest
from aiosmtpd.controller import Controller
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from drills.server import Server, free_port
from drills.valkey import Valkey
from drills.waiting import DEADLINE
from tests.account_api import KEYS, ME, TOKENS, bearer
from tests.collectors import Collector, collecting
from tests.conftest import picture
from tests.services.quick_app import PATH
from tests.services.server import serve

USERS, REFRESH, RESET = "/v1/users", f"{TOKENS}/refresh", "/v1/passwords"
JOBS, STREAM = "/v1/models/shade/jobs", "/v1/models/shade/stream"
MAIL_FROM = "vitrine@example.net"
PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json"}
ADMIN = {"email": "sovereign.admin@example.org", "password": "tangerine-of-the-sovereign"}
ANN = {
    "email": "Ann.Zwetschge@example.org",
    "username": "ann.zwetschge",
    "full_name": "Ann Zwetschge-Quitte",
    "password": "aubergine-of-ann-zwetschge",
    "document": "529.982.247-25",
}
IN_THE_DATABASE = {"email", "username", "full_name"}  # of the users, who have to be found


class Inbox:
    """A mail server's handler."""

    def __init__(self) -> None:
        self.mails: Queue[str] = Queue()

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=default)
        self.mails.put(message.get_content())
        return "250 OK"


@dataclass
class Run:
    """A whole run. secrets: name → text. written: source → all of it."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    written: dict[str, bytes] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    reports: int = 0
    spans: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)

    def secret(self, name: str, text: str) -> str:
        """Remember a text that may be written nowhere."""
        self.secrets[name] = text
        return text

    def heard(self, answer: httpx2.Response) -> httpx2.Response:
        """Remember an answer; of a problem all of it."""
        self.statuses.append(answer.status_code)
        if answer.headers.get("content-type", "").startswith(PROBLEM):
            self.problems.append(f"{answer.headers}{answer.text}")
        return answer

    def tokens(self, name: str, answer: httpx2.Response) -> dict[str, str]:
        """The tokens of an answer, which are secrets."""
        body = answer.raise_for_status().json()
        for kind in ("access_token", "refresh_token"):
            self.secret(f"{name}: {kind}", body[kind])
            self.secret(f"{name}: end of {kind}", body[kind][-40:])
        return body


@dataclass
class Caller:
    """A client of the server."""

    run: Run
    http: httpx2.Client

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self.run.heard(self.http.request(method, path, **options))

    def sign_in(self, login: str, password: str) -> httpx2.Response:
        return self.send("POST", TOKENS, data={"username": login, "password": password})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("secrets")
    run, inbox = Run(folder), Inbox()
    valkey = Valkey(folder / "valkey")
    valkey.start()
    try:
        with mailing(inbox) as mail, collecting() as sentry, collecting() as traces:
            with serve(folder, **settings(folder, valkey, mail, sentry, traces)) as server:
                with httpx2.Client(base_url=server.url, timeout=DEADLINE) as http:
                    use(Caller(run, http), server, inbox)
                run.written["metrics"] = httpx2.get(f"{server.url}/metrics").content
                server.stop()
            collect(run, server, sentry, traces)
    finally:
        valkey.stop()
    return run


def settings(
    folder: Path, valkey: Valkey, mail: int, sentry: Collector, traces: Collector
) -> dict[str, object]:
    return {
        "AUTH": "keys",
        "TOKEN_KEYS": "one:" + "s" * 32,
        "REGISTRATION": "open",
        "ADMIN_EMAIL": ADMIN["email"],
        "ADMIN_PASSWORD": ADMIN["password"],
        "USER_DOCUMENT": "br.cpf",
        "DOCUMENT_KEY": "d" * 32,
        "SMTP_URL": f"smtp://127.0.0.1:{mail}",
        "MAIL_FROM": MAIL_FROM,
        "PUBLIC_URL": "https://vitrine.example.net",
        "ADDRESS_RATE": "1000/minute",
        "MONTHLY_QUOTA": 1000,
        "JOBS": "on",
        "REDIS_URL": valkey.url,
        "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/users.db",
        "STORAGE_URL": f"file:{folder}/storage",
        "LOG_LEVEL": "DEBUG",
        "LOG_FILE": folder / "log.jsonl",
        "SENTRY_DSN": sentry.dsn,
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
        "OTEL_TRACES_SAMPLER_ARG": 1,
    }


@contextmanager
def mailing(inbox: Inbox) -> Iterator[int]:
    """A mail server on the port that it yields."""
    port = free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def collect(run: Run, server: Server, sentry: Collector, traces: Collector) -> None:
    """All that was written, by source."""
    headers = [request.headers for request in (*sentry.requests, *traces.requests)]
    run.written |= {
        "stdout": server.log_file.read_bytes(),
        "LOG_FILE": (run.folder / "log.jsonl").read_bytes(),
        "error reports": sentry.everything(),
        "traces": traces.everything(),
        "headers of reports and traces": str(headers).encode(),
        "problem documents": "\n".join(run.problems).encode(),
    }
    run.written["database"] = b"".join(
        path.read_bytes() for path in sorted(run.folder.glob("users.db*"))
    )
    run.reports = len(sentry.events())
    run.spans = {span.name for span in traces.spans()}
    run.events = {record["message"] for record in server.records()}


def use(caller: Caller, server: Server, inbox: Inbox) -> None:
    """Everything that accounts can do, and most of what can go wrong."""
    for about, fields in (("admin", ADMIN), ("ann", ANN)):
        for name, text in fields.items():
            caller.run.secret(f"{about}: {name}", text)
    caller.run.secret("ann: compact document", "52998224725")
    admin = caller.run.tokens("admin", caller.sign_in(ADMIN["email"], ADMIN["password"]))
    tokens = register_and_sign_in(caller)
    invite_and_change(caller, admin["access_token"])
    token = change_passwords(caller, tokens["access_token"], inbox)
    key = use_key(caller, server, token)
    send_nonsense(caller, server, token, key)
    lose_the_tables(caller, key)
    caller.send("DELETE", TOKENS, headers=bearer(token))
    caller.send("GET", ME, headers=bearer(token))


def register_and_sign_in(caller: Caller) -> dict[str, str]:
    """Right and wrong; a refresh token that comes again, and the one that it has replaced."""
    run = caller.run
    for _ in range(2):
        caller.send("POST", USERS, json=ANN)
    caller.sign_in(ANN["email"], run.secret("wrong password", "courgette-is-the-wrong-one"))
    caller.sign_in(run.secret("unknown user", "nobody.at.all@example.org"), ANN["password"])
    first = run.tokens("first", caller.sign_in(ANN["username"], ANN["password"]))
    body = {"refresh_token": first["refresh_token"]}
    second = run.tokens("second", caller.send("POST", REFRESH, json=body))
    run.tokens("second again", caller.send("POST", REFRESH, json=body))
    caller.send("POST", REFRESH, json={"refresh_token": second["refresh_token"]})
    body = {"refresh_token": run.secret("unknown refresh token", "rhubarb-that-nobody-issued")}
    caller.send("POST", REFRESH, json=body)
    return run.tokens("third", caller.sign_in(ANN["email"].upper(), ANN["password"]))


def invite_and_change(caller: Caller, token: str) -> None:
    """What an administrator does."""
    headers, run = bearer(token), caller.run
    invited = run.secret("invited", "bob.mirabelle@example.org")
    answer = caller.send("POST", "/v1/invitations", json={"email": invited}, headers=headers)
    run.secret("invitation", answer.json()["invitation"])
    users = caller.send("GET", USERS, headers=headers).json()["users"]
    ann = next(user["id"] for user in users if user["username"] == ANN["username"])
    body = {"monthly_quota": 500}
    caller.send("PATCH", f"{USERS}/{ann}", json=body, headers=headers)


LAST_PASSWORD = "artichoke-of-ann-zwetschge"


def change_passwords(caller: Caller, token: str, inbox: Inbox) -> str:
    """By the old password, then by a link; returns a new access token."""
    run = caller.run
    new = run.secret("new password", "kohlrabi-of-ann-zwetschge")
    for current in (run.secret("wrong current password", "celery-is-wrong-too"), ANN["password"]):
        body = {"current": current, "new": new}
        caller.send("POST", f"{ME}/password", json=body, headers=bearer(token))
    caller.sign_in(ANN["email"], new).raise_for_status()
    for email in (run.secret("unknown e-mail", "no.such.user@example.org"), ANN["email"]):
        caller.send("POST", f"{RESET}/reset-requests", json={"email": email})
    mail = inbox.mails.get(timeout=DEADLINE)
    link = run.secret("reset token", mail.partition("#reset=")[2].split()[0])
    last = run.secret("last password", LAST_PASSWORD)
    for _ in range(2):
        caller.send("POST", RESET, json={"token": link, "password": last})
    tokens = run.tokens("after the reset", caller.sign_in(ANN["email"], last))
    change = {"email": run.secret("new e-mail", "ann.mispel@example.org")}
    caller.send("PATCH", ME, json=change, headers=bearer(tokens["access_token"]))
    return tokens["access_token"]


def use_key(caller: Caller, server: Server, token: str) -> str:
    """Predictions, one of which fails, a job, and streams; returns the key."""
    run, signed_in = caller.run, bearer(token)
    body = {"name": "camera", "scopes": ["predict", "jobs"], "password": LAST_PASSWORD}
    key = run.secret("key", caller.send("POST", KEYS, json=body, headers=signed_in).json()["key"])
    run.secret("end of the key", key.rpartition("_")[2])
    headers, files = bearer(key), {"image": picture()}
    for query in ("", "?fail=true", "?threshold=1000"):
        caller.send("POST", PATH + query, files=files, headers=headers)
    job = caller.send("POST", JOBS, files=files, headers=headers).headers["location"]
    with caller.http.stream("GET", f"{job}/events", headers=headers) as events:
        next(events.iter_lines())
    for method in ("GET", "DELETE"):
        caller.send(method, job, headers=headers)
    stream(run, server, additional_headers=headers)
    stream(run, server, subprotocols=["vitrine.v1", f"vitrine.bearer.{token}"])
    stream(run, server, subprotocols=["vitrine.v1", f"vitrine.bearer.{token[:-4]}AAAA"])
    stream(run, server, query=f"?access_token={token}", additional_headers=headers)
    return key


def stream(run: Run, server: Server, *, query: str = "", **options: Any) -> None:
    """A session with a frame, a failing one and a broken one; its problems are remembered."""
    url = f"ws://127.0.0.1:{server.port}{STREAM}{query}"
    with connect(url, **options) as session:
        try:
            first = session.recv(timeout=DEADLINE)
            if json.loads(first)["type"] == "hello":
                session.send(picture())
                session.recv(timeout=DEADLINE)
                session.send(b"no picture")
                first = session.recv(timeout=DEADLINE)
            run.problems.append(str(first))
        except ConnectionClosed as closed:
            run.problems.append(str(closed))


def send_nonsense(caller: Caller, server: Server, token: str, key: str) -> None:
    """Secrets where they do not belong."""
    run = caller.run
    hostile = {
        "email": "parsnip at example.org",
        "username": "salsify@example.org",
        "full_name": "Topinambur7",
        "password": "sorrel-7",
        "document": "111.444.777-36",
        "invitation": "x" * 201 + "-fennel",
        "other": "a-field-named-chervil",
    }
    for name, text in hostile.items():
        run.secret(f"hostile {name}", text)
        caller.send("POST", USERS, json={**ANN, name: text})
    caller.send("POST", USERS, content=json.dumps(ANN)[:-1], headers=JSON)
    caller.send("POST", USERS, json=[ANN])
    caller.sign_in("lovage-in-a-long-name" * 20, run.secret("sent with it", "chicory-and-lovage"))
    run.secret("long name", "lovage-in-a-long-name")
    form = {"username": ANN["email"], "password": ANN["password"], "grant_type": "purslane"}
    run.secret("grant type", form["grant_type"])
    caller.send("POST", TOKENS, data=form)
    basic = f"{ANN['email']}:{ANN['password']}".encode()
    encoded = run.secret("basic", base64.b64encode(basic).decode())
    for authorization in (f"Basic {encoded}", f"Bearer {token}x", f"Bearer {key}x", key, "Bearer"):
        caller.send("GET", ME, headers={"Authorization": authorization})
    caller.send("GET", ME, headers=bearer("t" * 5000 + token))
    signed_in = bearer(token)
    for path in (
        *(f"{USERS}/{ANN['email']}", f"{KEYS}/{key}", f"/v1/{token}", f"/{key}"),
        *(f"/v1/jobs?limit={key}", f"/v1/jobs?access_token={token}", f"{USERS}?before={token}"),
        *(f"/v1/jobs/{token}", f"/?reset={run.secrets['reset token']}", f"/docs?key={key}"),
    ):
        for method in ("GET", "DELETE"):
            caller.send(method, path, headers=signed_in)
    for line in (f"GET /{key} HTTP/9.9", f"{key} / HTTP/1.1", f"GET / HTTP/1.1\r\n{key}"):
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as connection:
            connection.sendall(f"{line}\r\n\r\n".encode())
            run.problems.append(connection.recv(65_536).decode())


def lose_the_tables(caller: Caller, key: str) -> None:
    """Each query of users fails for a while, with an error of the database that has it all."""
    with tables_away(caller.run.folder / "users.db"):
        email = caller.run.secret("lost e-mail", "lost.medlar@example.org")
        caller.send("POST", USERS, json={**ANN, "email": email, "username": "medlar"})
        caller.sign_in(email, ANN["password"])
        caller.send("POST", REFRESH, json={"refresh_token": "sloe"})
        caller.send("POST", RESET, json={"token": "bullace", "password": "damson-of-the-lost"})
        caller.send("POST", f"{RESET}/reset-requests", json={"email": email})
        unknown = caller.run.secret("lost key", key[:-4] + "AAAA")
        caller.send("GET", ME, headers=bearer(unknown))
    for text in ("bullace", "damson-of-the-lost"):
        caller.run.secret(text, text)


@contextmanager
def tables_away(path: Path) -> Iterator[None]:
    """Rename the tables of accounts meanwhile."""
    tables = ("users", "api_keys", "refresh_tokens", "one_time_tokens")
    with closing(sqlite3.connect(path, timeout=DEADLINE)) as database:
        for table in tables:
            database.execute(f"ALTER TABLE {table} RENAME TO away_{table}")
        database.commit()
        try:
            yield
        finally:
            for table in tables:
                database.execute(f"ALTER TABLE away_{table} RENAME TO {table}")
            database.commit()


def test_the_run_was_a_whole_one(run):
    """Else there would be nothing to find."""
    assert {200, 201, 202, 204, 401, 403, 404, 405, 409, 422, 500, 503} <= {*run.statuses}
    assert {"audit", "refresh_token_reused", "prediction_failed", "request_served"} <= run.events
    assert {"stream_served", "accounts_on"} <= run.events
    assert run.reports >= 1
    assert any("predictions" in name for name in run.spans)
    assert b"auth_attempts_total" in run.written["metrics"]
    assert b"request_served" in run.written["LOG_FILE"]
    assert ANN["full_name"].encode() in run.written["database"]


def test_no_secret_is_written_anywhere(run):
    """As it was sent, or as a URL or a document would have it."""
    found = [
        (name, source)
        for name, text in run.secrets.items()
        for source, written in run.written.items()
        for form in {text, text.lower(), quote(text), quote_plus(text), json.dumps(text)[1:-1]}
        if form.encode() in written and not may_stand_in(source, name)
    ]
    assert found == []


def may_stand_in(source: str, name: str) -> bool:
    """Whether a user's field is in the database, where it belongs."""
    fields = IN_THE_DATABASE | {"invited", "new e-mail"}
    return source == "database" and name.rpartition(": ")[2] in fields


def test_no_hash_of_a_password_leaves_the_database(run):
    """It could be guessed at leisure."""
    written = {source: text for source, text in run.written.items() if source != "database"}
    assert [source for source, text in written.items() if b"$argon2" in text] == []
    assert b"$argon2id$" in run.written["database"]
