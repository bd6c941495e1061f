"""Runs the commands that the page shows, as a person who pastes them does."""

import subprocess
from pathlib import Path

from drills.waiting import DEADLINE


def run(command: str, folder: Path) -> str:
    """The output of a command of the page. folder: where its files are and results go."""
    words = ["bash", "-euc", command.replace("curl ", "curl --silent --show-error --fail ", 1)]
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    return done.stdout
