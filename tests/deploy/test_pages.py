"""The Markdown pages of deploy/ name what exists; shellcheck and hadolint find nothing."""

import re
import sys
from pathlib import Path

import pytest

from project.settings import Settings
from tests.deploy.command import run
from tests.deploy.environment import LIBRARY_VARIABLES
from tests.ops.pages import Page
from tests.ops.tools import ROOT
from tests.test_conventions import TRACKED

PAGES = [Page(path) for path in sorted((ROOT / "deploy").rglob("README.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.parent.name)
SETTINGS = {name.upper() for name in Settings.model_fields} | LIBRARY_VARIABLES
OTHER_NAMES = {  # placeholders, states of CloudFormation, a capability of Linux
    *("YOUR_STORE", "PROJECT_ID", "CREATE_FAILED", "UPDATE_ROLLBACK_FAILED"),
    "CAP_DAC_READ_SEARCH",
}


def named_variables(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", text))


@every_page
def test_links_and_paths_exist(page):
    """Files of the repository and headings of pages; scripts are executable."""
    for link in page.links():
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), link
        assert not anchor or anchor in Page(target).anchors(), link
    text = re.sub(r"https?://\S+", "", page.text)
    paths = re.findall(r"(?<![\w/.])(?:deploy|docs|grafana|prometheus|tests)/[\w./-]*\w", text)
    assert paths
    for path in paths:
        made = (ROOT / path).with_suffix(".example.env")  # the page has it copied
        assert (ROOT / path).exists() or made.exists(), path
        if path.endswith(".sh"):
            assert (ROOT / path).stat().st_mode & 0o111, path


@every_page
def test_variables_exist(page):
    """A setting, or a variable of a file or of a command in the folder."""
    files = [path for path in page.path.parent.rglob("*") if path.is_file() and path != page.path]
    known = SETTINGS | OTHER_NAMES | named_variables("\n".join(map(Path.read_text, files)))
    known |= set(re.findall(r"\b([A-Z_]+)=", "\n".join(page.blocks("bash"))))
    assert named_variables("\n".join(page.quoted)) <= known


@every_page
def test_commands_are_valid_bash(page):
    for block in page.blocks("bash"):
        done = run("bash", "-n", input=block)
        assert (done.returncode, done.stderr) == (0, ""), block


BIN = Path(sys.executable).parent
SCRIPTS = [
    path
    for path in TRACKED
    if (ROOT / path).is_file() and (ROOT / path).read_bytes().startswith(b"#!/usr/bin/env bash")
]


@pytest.mark.parametrize(
    "command", [("shellcheck", "--external-sources", *SCRIPTS), ("hadolint", "Dockerfile")]
)
def test_shellcheck_and_hadolint_find_nothing(command):
    assert len(SCRIPTS) > 10
    done = run(BIN / command[0], *command[1:], cwd=ROOT)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
