"""deploy/compose/README.md says what compose.yaml and the rest of this folder do."""

import re

import pytest

from tests.deploy.compose import FOLDER, config, services, variables
from tests.ops.tools import ROOT

PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```bash\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line.strip() for text in BLOCKS for line in text.splitlines() if line.strip()]
COMPOSE = [*COMMANDS, *re.findall(r"`(docker compose [^`]+)`", PAGE)]
NOT_OURS = {"ID", "NAME"}  # what a reader fills in


def test_every_service_and_profile_is_on_it():
    """By its name."""
    for name, service in services().items():
        assert f"`{name}`" in PAGE
        for profile in service.get("profiles", []):
            assert f"| `{profile}` |" in PAGE


@pytest.mark.parametrize("command", [one for one in COMPOSE if "docker compose" in one])
def test_a_command_names_services_that_there_are(command):
    """And no file that is not here."""
    command = command.replace("\\|", "|")  # as a table has it
    plain = re.sub(r"--?[a-z-]+[ =]('[^']*'|[a-z]+=\d+)|#.*", "", command)
    for verb, words in re.findall(
        r"docker compose (exec|logs|stop|ps|pull|kill|rm|up|build|restart)([^|&;#<>()]*)", plain
    ):
        named = [word for word in words.split() if not word.startswith("-")]
        named = named[1:] if verb == "kill" else named  # the signal
        named = named[:1] if verb == "exec" else named
        assert set(named) <= services().keys() | NOT_OURS, command


def test_each_address_is_one_that_is_published():
    """With the variable that moves it."""
    published = {port.split(":")[1] for one in services().values() for port in one.get("ports", [])}
    rows = re.findall(r"^\| <http://[a-z0-9.]+:(\d+)> \|[^|]*\| `(\w+)`", PAGE, re.MULTILINE)
    assert {port for port, _ in rows} == published
    for port, variable in rows:
        assert variables()[variable] == port
    tunnels = re.findall(r"-L (\d+):localhost:(\d+)", PAGE)
    assert all(here == there and here in published for here, there in tunnels)


def test_each_variable_is_one_of_env():
    """Written in capitals, or with a value."""
    known = variables().keys()
    known |= set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z_0-9]+)(?:=[^`]*)?`", PAGE))
    assert named
    assert named <= known


def test_each_link_leads_somewhere():
    """To a file of this tree, and to a heading of it where one is named."""
    for path, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", PAGE):
        target = (FOLDER / path).resolve() if path else FOLDER / "README.md"
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            made = {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in made, anchor


def test_names_of_containers_and_images_are_those_that_docker_makes():
    """Where a command goes past Compose."""
    assert set(re.findall(r"\bvitrine-([a-z]+)-1\b", PAGE)) <= services().keys()
    assert set(re.findall(r"\bvitrine_([a-z0-9]+):", PAGE)) <= config()["volumes"].keys()
    for image in re.findall(r"docker\.io/\S+", PAGE):
        assert image in config()["x-images"].values()


def test_whoever_reads_files_of_the_clone_is_told_of_a_change():
    """Compose sees no change inside a folder; each has a row with the command for its container."""
    rows = re.findall(r"^\| ([^|]*/`[^|]*) \| `(docker compose [^`]+)`", PAGE, re.MULTILINE)
    told = {
        (folder, name)
        for folders, command in rows
        for folder in re.findall(r"`((?:\.\./)*[a-z/]+)/`", folders)
        for name in command.split()
    }
    for name, service in services().items():
        for volume in service.get("volumes", []):
            folder = volume.split(":")[0].removeprefix("./")
            if volume.startswith(".") and not folder.endswith("/dashboards"):
                of_it = {read for read, whom in told if whom == name}
                assert any(read.startswith(folder) for read in of_it), (name, folder)


def test_a_roll_back_builds_nothing():
    """What is checked out now would get the tag of the former commit."""
    part = PAGE.split("**Roll back:**")[1].split("**The other images**")[0]
    ups = re.findall(r"docker compose up[^`\n]*", part)
    assert ups
    assert all("--no-build" in up for up in ups)


def test_the_old_api_goes_when_the_models_of_the_new_one_are_loaded():
    """Its health says only that it lives; the database need not answer for this."""
    (block,) = (block for block in BLOCKS if "old=" in block)
    order = [block.index(part) for part in ("old=", "new=", "/ready?scope=instance", "docker stop")]
    assert order == sorted(order)


def test_a_backup_is_for_its_owner_alone_and_comes_back_into_an_empty_database():
    """A dump restored over newer tables would leave theirs between."""
    (dump,) = (line for line in COMMANDS if "pg_dump" in line)
    assert dump.startswith("(umask 077;")
    (block,) = (block for block in BLOCKS if "pg_restore" in block)
    order = [block.index(part) for part in ("stop api worker", "dropdb", "createdb", "pg_restore")]
    assert order == sorted(order)
    assert "--exit-on-error --single-transaction" in block
