"""The page of deploy/ecs/ names what is there, and its settings are those that the script reads."""

import re

import pytest

from tests.deploy.cloudformation import Template
from tests.deploy.ecs import FILES, FOLDER
from tests.ops.tools import ROOT

PAGE = (FOLDER / "README.md").read_text()
SCRIPT = (FOLDER / "deploy.sh").read_text()
EXAMPLE = (FOLDER / "vitrine.example.env").read_text()
DECLARED = re.compile(r"^([A-Z_]+)=(.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def parameters():
    """Name → what it is where nothing is given, over all templates."""
    return {
        name: str(declared.get("Default", ""))
        for path in FILES
        for name, declared in Template(path).raw.get("Parameters", {}).items()
    }


def test_every_file_stands_on_the_page():
    """A reader learns from it what each is for."""
    names = [path.name for path in [*FILES, FOLDER / "rules.py", FOLDER / "deploy.sh"]]
    assert not [name for name in names if f"| `{name}` |" not in PAGE]


def test_every_command_is_one_of_the_script():
    """With the stacks that it knows."""
    said = set(re.findall(r"deploy\.sh ([a-z]+)", PAGE))
    known = set(re.findall(r"^  ([a-z]+)\)", SCRIPT, re.MULTILINE))
    assert said
    assert said <= known
    stacks = set(re.findall(r"deploy\.sh stack ([a-z]+)", PAGE))
    assert stacks <= {path.stem for path in FILES} | {"rules"}


def test_what_parameters_are_given_exists(parameters):
    """A mistyped one would be ignored by the command line of AWS."""
    for words in re.findall(r'PARAMETERS="([^"]+)"', PAGE):
        assert {word.split("=")[0] for word in words.split()} <= set(parameters)
    for name, value in re.findall(r"`([A-Z][a-z]+(?:Least|Most))` (\d+)", PAGE):
        assert parameters[name] == value


def test_the_example_holds_every_setting_of_the_script():
    """None is read that it does not show, none is shown that is not read; and none is a secret."""
    shown = dict(DECLARED.findall(EXAMPLE))
    read = set(re.findall(r"\$\{?!?([A-Z][A-Z_]+)\b", SCRIPT)) - {"BASH_SOURCE", "VITRINE_ENV"}
    assert read - {"OLDPWD"} <= set(shown)
    for name in shown:
        assert re.search(rf"\b{name}\b", SCRIPT), name
    assert not [name for name in shown if re.search("PASSWORD|TOKEN|SECRET|DSN|URL_FILE", name)]


def test_links_lead_somewhere():
    """To files beside it, and to headings of its own."""
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in PAGE.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        assert not path or (FOLDER / path).exists(), target
        assert not anchor or path or anchor in headings, target
    for name in re.findall(r"`(tests/[\w/.]+|prometheus/[\w/.]+)`", PAGE):
        assert (ROOT / name).exists(), name
