"""A real S3 server for tests: rclone serving a folder, started, stopped and ended for certain."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from drills.server import free_port
from drills.waiting import DEADLINE, wait_until

RCLONE = Path(sys.executable).parent / "rclone"
BUCKET = "vitrine"
ACCESS_KEY = "an-access-key"
SECRET_KEY = "a-secret-access-key"


@dataclass
class S3Server:
    """A server of one bucket, with one access key. folder: where its files are."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment that has a client use this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start serving and wait until it does."""
        (self.folder / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
        command = [
            str(RCLONE),
            *("serve", "s3", str(self.folder / "data")),
            *("--addr", f"127.0.0.1:{self.port}"),
            *("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"),
            *("--config", str(self.folder / "rclone.conf")),
            *("--cache-dir", str(self.folder / "cache")),
        ]
        with (self.folder / "rclone.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, "rclone serves S3")

    def stop(self) -> None:
        """End the server, gently and then for certain."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(DEADLINE)
        self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        log = (self.folder / "rclone.log").read_text(errors="replace")
        assert self.process.poll() is None, f"rclone ended:\n{log[-2000:]}"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), DEADLINE):
            return True
        return False


@contextmanager
def serving_s3(folder: Path) -> Iterator[S3Server]:
    """An S3 server on a free port, with its files in this folder, for the length of the body."""
    folder.mkdir(parents=True, exist_ok=True)
    server = S3Server(folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()
