"""External programs: found, started with their output in a file, awaited, terminated."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from drills.waiting import wait_until

ASK_SECONDS = 10


class NotInstalled(Exception):
    """A program is missing; the message says which, and how to install it."""


def binary(*names: str) -> str:
    """Path of a program, found by any of its names. Raises NotInstalled."""
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise NotInstalled(f"{' or '.join(names)} is not installed: make tools")
    return path


def ask(url: str, body: object = None) -> Any:
    """GET, or POST a body as JSON; returns the JSON of the response, if any."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - our own, on loopback
    with urllib.request.urlopen(request, timeout=ASK_SECONDS) as answer:  # noqa: S310
        text = answer.read()
    return json.loads(text) if text.startswith((b"{", b"[")) else None


def ready(url: str, path: str = "/-/ready") -> bool:
    """Whether it answers at that path without an error."""
    try:
        ask(f"{url}{path}")
    except OSError:  # refused, reset, an error's status, or too late
        return False
    return True


def start_program(
    command: Sequence[str], root: Path, variables: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Start a program in its own session, so that all of its processes can be killed at once.

    log: its output; truncated.
    """
    with log.open("wb") as written:
        return subprocess.Popen(  # noqa: S603 - commands of ours
            command,
            cwd=root,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def running(
    command: Sequence[str], url: str, *, path: str = "/-/ready", log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the body ends; it is ready when it answers at `path`. log: its output."""
    with ExitStack() as stack:
        written = stack.enter_context(log.open("wb")) if log else None
        process = stack.enter_context(
            subprocess.Popen(  # noqa: S603 - commands of ours
                command, stdin=subprocess.DEVNULL, stdout=written, stderr=written
            )
        )
        stack.callback(process.terminate)
        name = Path(command[0]).name
        wait_until(lambda: ready(url, path) or process.poll() is not None, f"{name} is ready")
        if process.poll() is not None:
            said = log.read_text(encoding="utf-8") if log else ""
            raise RuntimeError(f"{name} ended: {said}")
        yield process
