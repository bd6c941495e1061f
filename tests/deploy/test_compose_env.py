"""fill-env.sh: a .env for this user alone, with secrets that nobody else has."""

import io
import re
import stat
import subprocess

import yaml
from dotenv import dotenv_values

from tests.deploy.compose import FOLDER, make_env
from tests.ops.tools import ROOT, output

TEXT = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
EXAMPLE = dotenv_values(FOLDER / ".env.example")
REQUIRED = set(re.findall(r"\$\{(\w+):\?", TEXT))


def test_every_secret_is_made_and_long(tmp_path):
    """Each required one, of letters and digits alone, as they stand in URLs."""
    made = dotenv_values(make_env(tmp_path))
    for name in REQUIRED - {"REVISION"}:
        assert re.fullmatch(r"[0-9a-f]{20,}", made[name] or ""), name
    assert len({made[name] for name in REQUIRED}) == len(REQUIRED)
    assert made["REVISION"]


def test_it_is_for_this_user_alone(tmp_path):
    """Nobody else on the machine reads it."""
    assert stat.S_IMODE(make_env(tmp_path).stat().st_mode) == 0o600


def test_so_are_the_settings(tmp_path):
    """SENTRY_DSN goes there, say; what is in it stays, and one that all could read is closed."""
    settings = make_env(tmp_path).with_name("settings.env")
    assert settings.read_text() == ""
    settings.write_text("LOG_LEVEL=DEBUG\n")
    settings.chmod(0o644)
    make_env(tmp_path)
    assert settings.read_text() == "LOG_LEVEL=DEBUG\n"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600


def test_what_is_set_stays(tmp_path):
    """Run again it makes nothing, and changes no more than what it is told to."""
    path = make_env(tmp_path)
    path.write_text(path.read_text().replace("PORT=8000", "PORT=8080", 1))
    before = path.read_text()
    subprocess.run([tmp_path / "fill-env.sh"], check=True, capture_output=True)
    assert path.read_text() == before
    path.write_text(re.sub("REVISION=.*", "REVISION=of-yesterday", before))
    subprocess.run([tmp_path / "fill-env.sh", "--revision"], check=True, capture_output=True)
    after = dotenv_values(path)
    assert after["REVISION"] != "of-yesterday"
    assert dict(after, REVISION="") == dict(dotenv_values(stream=io.StringIO(before)), REVISION="")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_a_later_release_needs_is_added(tmp_path):
    """An old .env lacks its line."""
    path = make_env(tmp_path)
    lines = [line for line in path.read_text().splitlines() if "ADMIN_TOKEN" not in line]
    path.write_text("\n".join(lines) + "\n")
    subprocess.run([tmp_path / "fill-env.sh"], check=True, capture_output=True)
    assert dotenv_values(path)["ADMIN_TOKEN"]


def test_the_example_names_every_variable_with_its_default():
    """And none that nothing reads; secrets are empty in it."""
    used = dict(re.findall(r"\$\{(\w+)(?::[-?]([^}]*))?\}", TEXT.replace("$$", "")))
    read_by_compose = {"COMPOSE_PROFILES"}
    assert EXAMPLE.keys() - read_by_compose == used.keys()
    for name, default in used.items():
        expected = "" if name in REQUIRED else default
        assert EXAMPLE[name] == expected, name


def test_what_it_makes_is_not_committed():
    """Nor are the settings and the backups of a machine."""
    ignored = (FOLDER / ".gitignore").read_text().split()
    assert {".env", "settings.env", "backups/"} <= set(ignored)
    tracked = output("git", "ls-files", "deploy/compose").split()
    assert not [name for name in tracked if name.endswith((".env", ".env.new"))]


def test_no_secret_stands_in_the_file():
    """What a container gets as a password or a token comes from .env."""
    for name, service in yaml.safe_load(TEXT)["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|_KEY$|ACCESS_KEY|AUTH$|ALERT_", variable):
                assert re.fullmatch(r"\$\{\w+:[-?].*\}", str(value)), (name, variable)


def test_the_script_can_be_started():
    """As the page starts it."""
    assert (ROOT / "deploy/compose/fill-env.sh").stat().st_mode & 0o111
