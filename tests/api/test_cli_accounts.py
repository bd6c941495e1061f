"""`users` and `keys` on the command line, on the database itself."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import command
from tests.conftest import make_settings
from tests.database import create_tables, sqlite_url

ANN = ("ann@example.org", "ann", "Ann Example")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs a command, and has its exit code, output and errors."""
    url = sqlite_url(tmp_path)
    asyncio.run(create_tables(make_settings(database_url=url)))
    variables = {"DATABASE_URL": url, "AUTH": "keys", "LOG_FORMAT": "json"}

    def run(*words: str, **more: str) -> tuple[int, str, str]:
        done = command(*words, variables=variables | more)
        return done.returncode, done.stdout.strip(), done.stderr

    return run


def test_an_operator_creates_changes_and_lists_users(run):
    """Passwords are generated and printed once; the audit log has the operator as the actor."""
    code, out, err = run("users", "create", *ANN)
    assert code == 0, err
    user_id, password = out.split()
    assert len(password) >= 20
    assert [one["actor"] for one in map(json.loads, err.splitlines())] == ["operator"]
    assert run("users", "create", *ANN)[0] == 1
    assert run("users", "set-quota", "ann", "500")[0] == 0
    code, _, err = run("users", "set-quota", "ann", str(2**31))
    assert (code, "Traceback" in err) == (2, False)
    assert run("keys", "create", "ann", "camera", "--scope", "predict")[0] == 0
    assert run("users", "disable", "ANN@example.org")[0] == 0
    assert run("keys", "list", "ann")[1] == ""
    listed = run("users", "list")[1]
    assert listed.split() == [user_id, "ann", "ann@example.org", "user", "disabled", "500"]
    code, renewed, err = run("users", "reset-password", "ann")
    assert (code, renewed != password) == (0, True)
    assert renewed not in err
    assert run("users", "enable", "ann")[0] == 0
    assert run("keys", "create", "ann", "camera")[0] == 0
    assert run("users", "reset-password", "ann")[0] == 0
    assert run("keys", "list", "ann")[1] == ""
    code, _, err = run("users", "enable", "nobody")
    assert code == 1
    assert "users list" in err
    assert "Traceback" not in err


def test_an_operator_creates_lists_and_revokes_keys(run):
    """A key is printed once; one with scopes that its user lacks is refused."""
    assert run("users", "create", *ANN)[0] == 0
    code, key, err = run("keys", "create", "ann", "camera", "--scope", "predict", "--days", "0")
    assert code == 0, err
    assert key.startswith("vitrine_")
    assert key not in err
    key_id = key.split("_")[1]
    line = f"{key_id}  predict  interactive  expires never  used never  camera"
    assert run("users", "reset-password", "ann", "--keep-keys")[0] == 0
    assert run("keys", "list", "ann")[1] == line
    assert run("keys", "create", "ann", "root", "--scope", "admin")[0] == 1
    assert run("keys", "revoke", key_id)[0] == 0
    assert run("keys", "list", "ann")[1] == ""
    assert run("keys", "revoke", key_id)[0] == 1


def test_an_operator_reads_a_document(run):
    """By the key that encrypted it; the audit log notes that it was shown, and not what."""
    given = {"USER_DOCUMENT": "br.cpf", "DOCUMENT_KEY": "d" * 32}
    assert run("users", "create", *ANN, "--document", "529.982.247-25", **given)[0] == 0
    code, out, err = run("users", "document", "ann", **given)
    assert (code, out) == (0, "br.cpf:52998224725")
    (event,) = [json.loads(line) for line in err.splitlines()]
    assert (event["action"], event["actor"]) == ("document_shown", "operator")
    assert "52998224725" not in err
    code, out, err = run("users", "document", "ann", **given | {"DOCUMENT_KEY": "e" * 32})
    assert (code, out) == (1, "")
    assert "DOCUMENT_KEY" in err
    bob = ("bob@example.org", "bob", "Bob Example")
    code, _, err = run("users", "create", *bob, "--document", "52998224725", **given)
    assert code == 1
    assert "document is taken" in err
    assert run("users", "create", *bob)[0] == 0
    assert run("users", "document", "bob", **given)[0] == 1
