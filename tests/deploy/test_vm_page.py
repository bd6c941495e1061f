"""deploy/vm/README.md says what the scripts of this folder do, and nothing that loses data."""

import re

import pytest

from tests.deploy.vm_files import VM

PAGE = (VM / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SCRIPTS = sorted(set(re.findall(r"deploy/vm/([a-z_]+\.(?:sh|py))", PAGE)))
RELEASED = {"run.sh", "monitoring.sh"}  # they use a .venv, which a checkout has not


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_there_and_called_where_it_works(name):
    """What needs a .venv is called in the release that serves."""
    assert (VM / name).stat().st_mode & 0o111
    if name in RELEASED:
        called = re.findall(rf"\S*deploy/vm/{re.escape(name)}", PAGE)
        assert set(called) <= {f"{tick}/opt/vitrine/current/deploy/vm/{name}" for tick in ("", "`")}


def test_what_is_edited_is_what_nobody_replaces():
    """install.sh puts its own nginx files in place each time."""
    places = re.findall(r"tee (?:-a )?(/\S+)|sudoedit (/\S+?)`", PAGE)
    edited = {place for pair in places for place in pair if place}
    assert edited
    assert all(place.startswith("/etc/vitrine/") for place in edited), edited


def test_the_index_of_pytorch_is_that_of_the_image():
    """Nobody has to look for it."""
    docker = (VM.parents[1] / "Dockerfile").read_text(encoding="utf-8")
    (index,) = re.findall(r"^ARG TORCH_INDEX=(\S+)", docker, re.MULTILINE)
    assert set(re.findall(r"TORCH_INDEX=(\S+)", PAGE)) == {index}


def test_a_backup_is_for_its_owner_alone_and_comes_back_into_an_empty_database():
    """A dump restored over newer tables would leave theirs between."""
    (backup,) = (block for block in BLOCKS if "pg_dump" in block)
    order = [backup.index(part) for part in ("-m 0700 backups", "umask 077", "pg_dump", "tar ")]
    assert order == sorted(order)
    (back,) = (block for block in BLOCKS if "pg_restore" in block)
    order = [back.index(part) for part in ("stop vitrine", "dropdb", "createdb", "pg_restore")]
    assert order == sorted(order)
    assert "--exit-on-error --single-transaction" in back
