"""The programs that these tests run; where one is missing, the test is skipped and says so."""

import subprocess
from pathlib import Path

import pytest

from drills.programs import NotInstalled, binary

ROOT = Path(__file__).parents[2]


def need(*names: str) -> str:
    """The path of a program, by whichever of its names it has here."""
    try:
        return binary(*names)
    except NotInstalled as missing:
        pytest.skip(str(missing))


def output(*command: str) -> str:
    """What a command prints; fails with that where the command fails."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
