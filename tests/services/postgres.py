"""A PostgreSQL of our own: on a free port of loopback, in a folder that goes when it ends."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from drills.server import free_port
from drills.waiting import DEADLINE, wait_until

USER = "postgres"  # of the system, if we are root, as which PostgreSQL does not run
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
}


def program(name: str) -> str:
    """Path of one of PostgreSQL's programs, of which Debian keeps most out of PATH."""
    installed = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = sorted(map(str, installed), key=lambda path: int(Path(path).parts[-3]))
    found = shutil.which(name) or (newest[-1] if newest else None)
    if found is None:
        pytest.skip("PostgreSQL is not installed; scripts/install_tools.sh installs it")
    return found


class Postgres:
    """A server that can be stopped, started again, and frozen as if the network were gone."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """What DATABASE_URL is to be."""
        return f"postgresql+asyncpg://{USER}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex}"

        async def make() -> None:
            connection = await asyncpg.connect(
                host="127.0.0.1", port=self.port, user=USER, database="postgres", timeout=DEADLINE
            )
            try:
                await connection.execute(f"CREATE DATABASE {name}")
            finally:
                await connection.close()

        asyncio.run(make())
        return self.url(name)

    def prepare(self) -> None:
        """Make the files of an empty server."""
        subprocess.run(
            [program("initdb"), "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "-N"],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **_user(),
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", self._data, "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **_user(),
            )
        wait_until(self._answers, "PostgreSQL answers")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it. SIGINT: in order, but waiting for nobody; SIGQUIT: as in a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(DEADLINE)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no process of it do anything for the length of the body."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        processes = [parent, *parent.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    @property
    def runs(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._process is not None

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        command = [program("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """A server for the length of the body."""
    program("initdb")  # or skip
    # Not pytest's folder, which is closed to the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Postgres(Path(folder))
        if user := _user():
            shutil.chown(folder, user["user"], user["group"])
        server.prepare()
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _user() -> dict[str, Any]:
    """Whom to run it as."""
    return {} if os.geteuid() else {"user": USER, "group": USER, "extra_groups": []}
