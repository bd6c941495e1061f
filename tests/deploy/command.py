"""Runs a command and captures what it prints."""

import subprocess
from typing import Any


def run(*command: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command whatever its exit code. options: of subprocess.run."""
    words = list(map(str, command))
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)
