"""`python -m project` as a person runs it, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
EMPTY: Mapping[str, str] = {}


def start(*words: str, variables: Mapping[str, str] = EMPTY) -> subprocess.Popen[str]:
    """Run a command whose output goes through pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "project", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def command(*words: str, variables: Mapping[str, str] = EMPTY) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    with start(*words, variables=variables) as process:
        out, errors = process.communicate()
    assert "Traceback" not in errors, errors
    return subprocess.CompletedProcess(words, process.returncode, out, errors)
