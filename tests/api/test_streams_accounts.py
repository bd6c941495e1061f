"""Live streams with AUTH=keys: who may open one, by a header or by a subprotocol."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from project.accounts.keys import ApiKeys
from project.api.factory import create_app
from project.db.engine import open_database
from project.db.users import Users
from project.observability.metrics import AUTH_REFUSALS, STREAMS
from tests.account_api import SECRET, bearer
from tests.conftest import make_settings
from tests.database import create_tables, sqlite_url
from tests.fakes import ShadeModel
from tests.unit.test_authentication import USER

PATH = "/v1/models/shade/stream"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    """Name → key: one that may predict, and one that may not."""

    async def make() -> dict[str, str]:
        settings = make_settings(database_url=sqlite_url(folder))
        await create_tables(settings)
        async with open_database(settings) as engine:
            users = Users(engine)
            await users.add(USER)
            bob = replace(USER, id="b" * 32, email="bob@example.org", username="bob")
            await users.add(bob)
            given = {"predict": (USER, "predict"), "jobs": (USER, "jobs"), "bob": (bob, "predict")}
            api_keys = ApiKeys(users)
            return {
                name: (await api_keys.create(user, name, [scope]))[1]
                for name, (user, scope) in given.items()
            }

    return asyncio.run(make())


@pytest.fixture(scope="module")
def client(folder: Path, keys: dict[str, str]) -> Iterator[TestClient]:
    settings = make_settings(
        auth="keys",
        token_keys=f"one:{SECRET}",
        database_url=sqlite_url(folder),
        cors_origins="https://app.example.org",
        log_format="json",
        stream_sessions=4,
    )
    with TestClient(create_app(settings, [ShadeModel()])) as client:
        yield client


@contextmanager
def refused(client: TestClient, code: int, **options) -> Iterator[dict]:
    """What a refused client hears: the connection is accepted, so that a page can hear it."""
    before = STREAMS.labels("shade", "refused")._value.get()
    with client.websocket_connect(PATH, **options) as socket:
        yield socket.receive_json()["problem"]
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_json()
    assert ended.value.code == code
    assert STREAMS.labels("shade", "refused")._value.get() == before + 1


def sockets() -> set[str]:
    """The path of every WebSocket of the application as it is built."""
    app = create_app(make_settings(auth="keys", token_keys=f"one:{SECRET}"), [ShadeModel()])
    return {
        str(context.path)
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, WebSocketRoute)
    }


def test_every_websocket_is_tried_here():
    """Each authenticates in its route, so a new one has to be added to these tests."""
    assert sockets() == {"/v1/models/{model}/stream"}


def test_a_client_sends_its_key_in_the_header(client, keys):
    """As for any other request."""
    with client.websocket_connect(PATH, headers=bearer(keys["predict"])) as socket:
        assert socket.receive_json()["type"] == "hello"


def test_a_session_is_logged_with_its_user(client, keys, capsys):
    """By its id alone; one that is refused for its key's scope has it too."""
    with client.websocket_connect(PATH, headers=bearer(keys["predict"])) as socket:
        socket.receive_json()
    for options in ({"headers": bearer(keys["jobs"])}, {}):
        with client.websocket_connect(PATH, **options) as socket:
            socket.receive_json()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    served = [line for line in lines if line["message"] == "stream_served"]
    assert [line.get("user_id") for line in served] == [USER.id, USER.id, None]


def test_a_page_sends_its_token_as_a_subprotocol(client, keys):
    """It cannot set a header; the server answers with the other one, never with the token."""
    offered = ["vitrine.v1", f"vitrine.bearer.{keys['predict']}"]
    with client.websocket_connect(PATH, subprotocols=offered) as socket:
        assert socket.accepted_subprotocol == "vitrine.v1"
        assert socket.receive_json()["type"] == "hello"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "missing"),
        ({"headers": bearer("garbage")}, "invalid"),
        ({"subprotocols": ["vitrine.v1", "vitrine.bearer.garbage"]}, "invalid"),
        ({"headers": bearer(f"vitrine_{'0' * 32}_x")}, "unknown"),
    ],
)
def test_without_a_valid_token_it_is_told_and_closed_with_4401(client, options, reason):
    """And counted."""
    before = AUTH_REFUSALS.labels(reason)._value.get()
    with refused(client, 4401, **options) as problem:
        assert (problem["status"], problem["type"]) == (401, "urn:vitrine:problem:unauthorized")
    assert AUTH_REFUSALS.labels(reason)._value.get() == before + 1


def test_a_key_without_the_scope_is_told_and_closed_with_4403(client, keys):
    """Predictions are what a stream is made of."""
    with refused(client, 4403, headers=bearer(keys["jobs"])) as problem:
        assert problem["status"] == 403


def test_a_page_of_an_origin_in_the_settings_may_open_a_stream(client, keys):
    """CORS_ORIGINS; with a key like everybody."""
    headers = {**bearer(keys["predict"]), "Origin": "https://app.example.org"}
    with client.websocket_connect(PATH, headers=headers) as socket:
        assert socket.receive_json()["type"] == "hello"


def test_one_user_opens_half_of_the_streams_at_most(client, keys):
    """Over all of its keys: the next one is told, and another user is served."""
    options = {"headers": bearer(keys["predict"])}
    with (
        client.websocket_connect(PATH, **options) as one,
        client.websocket_connect(PATH, **options) as two,
    ):
        assert [socket.receive_json()["type"] for socket in (one, two)] == ["hello"] * 2
        with refused(client, 4429, **options) as problem:
            assert problem["type"] == "urn:vitrine:problem:rate-limited"
            assert "2 live streams" in problem["detail"]
        with client.websocket_connect(PATH, headers=bearer(keys["bob"])) as other:
            assert other.receive_json()["type"] == "hello"
    with client.websocket_connect(PATH, **options) as again:
        assert again.receive_json()["type"] == "hello"


def test_a_session_ends_with_4401_soon_after_its_key_is_revoked(client, keys):
    """It may have lasted for hours."""
    accounts = client.app_state["accounts"]
    accounts.authenticator.cache_seconds = 0.05
    with client.websocket_connect(PATH, headers=bearer(keys["predict"])) as socket:
        assert socket.receive_json()["type"] == "hello"
        key_id = keys["predict"].split("_")[1]
        client.portal.call(accounts.keys.revoke, key_id, USER.id)
        assert socket.receive_json()["problem"]["status"] == 401
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_json()
    assert ended.value.code == 4401
