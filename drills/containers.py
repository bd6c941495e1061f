"""Containers of our image, with the restrictions of the strictest platform."""

import json
import resource
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drills.programs import binary
from drills.waiting import DEADLINE

IMAGE = "localhost/vitrine:test"
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# In the machine's own network namespace, so that everything listens on the loopback.
STRICT = (
    *("--network", "host", "--read-only", "--cap-drop", "all", "--memory", "2g"),
    *("--security-opt", "no-new-privileges"),
    # Podman's defaults exceed the limits of a root that may not raise them.
    *("--ulimit", f"nofile={FILES}:{FILES}", "--ulimit", "nproc=4096:4096"),
    # Podman needs systemd for these.
    "--no-healthcheck",
)


def podman(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run podman. Raises CalledProcessError where it fails, NotInstalled where it is missing."""
    command = [binary("podman"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=check)  # noqa: S603


@dataclass
class Container:
    """A running container. process: podman's, which forwards signals and the exit code."""

    name: str
    process: subprocess.Popen[bytes]
    log_file: Path

    def log(self) -> str:
        """Its output."""
        return self.log_file.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The JSON lines of one event."""
        parsed = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in parsed if line["message"] == event]

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return podman("exec", self.name, *command, check=False)

    def terminate(self) -> int:
        """Send SIGTERM, as every platform does; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


@contextmanager
def container(
    folder: Path, *command: str, options: Sequence[str] = (), **settings: object
) -> Iterator[Container]:
    """A container of our image while the context is open."""
    name = f"vitrine-test-{uuid.uuid4().hex[:12]}"
    variables = [word for item in settings.items() for word in ("--env", f"{item[0]}={item[1]}")]
    words = [binary("podman"), "run", "--rm", "--name", name, *STRICT, *options, *variables]
    log_file = folder / f"{name}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*words, IMAGE, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield Container(name, process, log_file)
    finally:
        podman("rm", "--force", "--ignore", "--time", "0", name)
        process.wait(DEADLINE)
