"""`python -m project` as a person runs it, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGINS = Path(__file__).parent / "plugins"  # model files that no release has
EMPTY: Mapping[str, str] = {}
WITH_PLUGINS = (
    "import sys, project.models\n"
    "project.models.__path__.append(sys.argv.pop(1))\n"
    "from project.cli import app\n"
    "app(prog_name='python -m project')\n"
)


def start(
    *words: str,
    variables: Mapping[str, str] = EMPTY,
    cwd: Path = ROOT,
    plugins: Path | None = None,
) -> subprocess.Popen[str]:
    """Run a command whose output goes through pipes. plugins: a folder of further models."""
    program = ["-c", WITH_PLUGINS, str(plugins)] if plugins else ["-m", "project"]
    return subprocess.Popen(
        [sys.executable, *program, *words],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def command(
    *words: str,
    variables: Mapping[str, str] = EMPTY,
    cwd: Path = ROOT,
    plugins: Path | None = None,
    raises: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. raises: whether a traceback is expected."""
    with start(*words, variables=variables, cwd=cwd, plugins=plugins) as process:
        out, errors = process.communicate()
    assert ("Traceback" in errors) == raises, errors
    return subprocess.CompletedProcess(words, process.returncode, out, errors)
