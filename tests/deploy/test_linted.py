"""The linters of what is neither Python nor a manifest: shell and the image's recipe."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ops.tools import ROOT
from tests.test_conventions import TRACKED

BIN = Path(sys.executable).parent
SCRIPTS = [
    path
    for path in TRACKED
    if (ROOT / path).is_file() and (ROOT / path).read_bytes().startswith(b"#!/usr/bin/env bash")
]


def said(*command: str, text: str | None = None) -> str:
    """What a linter has to say."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", SCRIPTS)
def test_shellcheck_has_nothing_to_say(path):
    """Every script of the tree, at its strictest but for style."""
    assert said("shellcheck", "--external-sources", path) == ""


def test_shellcheck_would_say_something():
    """The test above can fail."""
    assert "SC2086" in said("shellcheck", "-", text="#!/usr/bin/env bash\nrm $1\n")


def test_hadolint_has_nothing_to_say():
    """The image is made as the field makes images."""
    assert said("hadolint", "Dockerfile") == ""


def test_hadolint_would_say_something():
    """The test above can fail."""
    assert "DL3007" in said("hadolint", "-", text="FROM debian:latest\n")
