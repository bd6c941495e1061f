"""deploy/compose/README.md says what compose.yaml and the rest of this folder do."""

import re

import pytest

from tests.deploy.compose import FOLDER, config, services, variables
from tests.ops.tools import ROOT

PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```bash\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line.strip() for text in BLOCKS for line in text.splitlines() if line.strip()]
COMPOSE = [*COMMANDS, *re.findall(r"`(docker compose [^`]+)`", PAGE)]
NOT_OURS = {"ID", "NAME", "NEW"}  # what a reader fills in


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
        r"docker compose (exec|logs|stop|ps|pull|kill|rm|up|build)([^|&;#>]*)", plain
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
