"""`python -m project` as a person runs it, in a process of its own."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGINS = Path(__file__).parent / "plugins"  # model files that no release has
EMPTY: Mapping[str, str] = {}
# What the commands import only when they need it; the process that they are forked from has it.
PRELOADED = [
    *("project.cli", "project.cli.predicting_here", "project.cli.predicting_there"),
    *("project.cli.evaluation.command", "project.cli.job_batch", "project.cli.progress"),
]


def start(
    *words: str, variables: Mapping[str, str] = EMPTY, cwd: Path = ROOT
) -> subprocess.Popen[str]:
    """Start a command whose output goes through pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "project", *words],
        cwd=cwd,
        env=_environment(variables),
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
    """Run a command to its end, forked from a process that has imported the project.

    plugins: a folder of further models. raises: whether it shows a traceback.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("out", "errors")]
        arguments = ([str(word) for word in words], _environment(variables), cwd, plugins, streams)
        process = context.Process(target=_run, args=arguments)
        process.start()
        process.join()
        out, errors = (stream.read_text() for stream in streams)
    assert ("Traceback" in errors) == raises, errors
    return subprocess.CompletedProcess(words, process.exitcode or 0, out, errors)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables}


def _run(
    words: Sequence[str],
    variables: Mapping[str, str],
    cwd: Path,
    plugins: Path | None,
    streams: Sequence[Path],
) -> None:
    """Become the command."""
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    for number, path in enumerate((Path(os.devnull), *streams)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
    sys.argv = ["-m project", *words]
    import project.models  # noqa: PLC0415 - not in the process of the tests

    if plugins:
        project.models.__path__.append(str(plugins))
    from project.cli import app  # noqa: PLC0415

    app(prog_name="python -m project")
