"""The command line against a server with AUTH=keys: VITRINE_KEY opens it, and is never shown."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from project.accounts.keys import ApiKeys
from project.db.engine import open_database
from project.db.users import Users
from tests.account_api import SECRET
from tests.commands import command
from tests.conftest import picture
from tests.job_server import JobServer
from tests.plugins.count import Count
from tests.plugins.finder import Finder
from tests.unit.test_authentication import USER

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[JobServer]:
    models = [Finder("finder"), Count("count")]
    secured = {"auth": "keys", "token_keys": f"one:{SECRET}"}
    with JobServer(tmp_path_factory.mktemp("server"), models, **secured) as server:
        yield server


@pytest.fixture(scope="module")
def keys(server: JobServer) -> dict[str, str]:
    """Scopes → a key that has them."""

    async def make() -> dict[str, str]:
        async with open_database(server.settings) as engine:
            users = Users(engine)
            await users.add(USER)
            api_keys = ApiKeys(users)
            return {
                scopes: (await api_keys.create(USER, "test", scopes.split()))[1]
                for scopes in ("predict jobs", "jobs", "predict")
            }

    return asyncio.run(make())


@pytest.fixture
def run(server: JobServer, tmp_path: Path) -> Run:
    """Runs a command at the server with a key, in a folder with a picture."""
    (tmp_path / "white.png").write_bytes(picture())

    def run(key: str, *words: str) -> CompletedProcess[str]:
        variables = {"VITRINE_KEY": key} if key else {}
        done = command(*words, "--url", server.url, variables=variables, cwd=tmp_path)
        assert not key or key not in done.stdout + done.stderr
        return done

    return run


COMMANDS = (
    ("predict", "finder", "white.png"),
    ("jobs", "submit", "finder", "white.png", "--out", "results"),
    ("jobs", "list"),
    ("stream", "finder", "white.png", "--seconds", "0.5"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_with_the_key_every_request_is_let_through(server, keys, run, words):
    """Those that follow a job and download its result too."""
    server.requests.clear()
    done = run(keys["predict jobs"], *words)
    assert done.returncode == 0, done.stderr
    sent = {headers.get("authorization") for _, _, headers in server.requests}
    assert sent == {f"Bearer {keys['predict jobs']}"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_without_a_key_one_line_says_where_to_put_it(run, words):
    """Whether none is set or it is not valid."""
    for key in ("", f"vitrine_{'0' * 32}_x"):
        done = run(key, *words)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("Unauthorized: ")
        assert line.endswith("; set VITRINE_KEY to an API key of this server")


@pytest.mark.parametrize(
    ("scopes", "words"),
    [
        ("jobs", ("predict", "finder", "white.png", "--json")),
        ("jobs", ("stream", "finder", "white.png", "--seconds", "0.5")),
        ("predict", ("jobs", "list")),
    ],
)
def test_a_key_without_the_scope_is_told_so(keys, run, scopes, words):
    """By HTTP and by a live stream."""
    done = run(keys[scopes], *words)
    assert done.returncode == 1
    shown = done.stdout + done.stderr
    assert "Forbidden: this needs the scope" in shown
    assert "set VITRINE_KEY to a key that may do this" in shown
