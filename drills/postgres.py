"""A private PostgreSQL server in a temporary folder."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from drills.programs import NotInstalled
from drills.server import free_port
from drills.waiting import DEADLINE, wait_until

USER = "postgres"  # also of the system: PostgreSQL refuses to run as root
LOOPBACK = "127.0.0.1"
OPTIONS = {
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
}
# pg_hba.conf: initdb allows the loopback, this allows the network that the server is on.
SAME_NETWORK = "host all all samenet trust\n"


def program(name: str) -> str:
    """Path of one of PostgreSQL's programs; on Debian most are not in PATH.

    Raises NotInstalled.
    """
    installed = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = sorted(map(str, installed), key=lambda path: int(Path(path).parts[-3]))
    found = shutil.which(name) or (newest[-1] if newest else None)
    if found is None:
        raise NotInstalled("PostgreSQL is not installed; scripts/install_tools.sh installs it")
    return found


class Postgres:
    """A server that can be stopped, restarted, and frozen as if the network were down.

    address: where it listens; options: of the server, besides OPTIONS.
    """

    def __init__(
        self,
        folder: Path,
        address: str = LOOPBACK,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._address = address
        self._options = {"listen_addresses": address, **OPTIONS, **(options or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """DATABASE_URL of a database."""
        return f"postgresql+asyncpg://{USER}@{self._address}:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database; returns its URL."""
        name = f"test_{uuid.uuid4().hex}"

        async def make() -> None:
            connection = await asyncpg.connect(
                host=self._address, port=self.port, user=USER, database=USER, timeout=DEADLINE
            )
            try:
                await connection.execute(f"CREATE DATABASE {name}")
            finally:
                await connection.close()

        asyncio.run(make())
        return self.url(name)

    def prepare(self) -> None:
        """Initialise the data folder."""
        subprocess.run(  # noqa: S603 - our own command
            [program("initdb"), "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "-N"],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **_user(),
        )
        if self._address != LOOPBACK:
            with Path(self._data, "pg_hba.conf").open("a", encoding="utf-8") as rules:
                rules.write(SAME_NETWORK)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [f"--{name}={value}" for name, value in self._options.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [program("postgres"), "-D", self._data, "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **_user(),
            )
        wait_until(self._answers, "PostgreSQL answers")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it. SIGINT: fast shutdown; SIGQUIT: immediate, as in a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(DEADLINE)
            self._process = None

    def processes(self) -> list[psutil.Process]:
        """Its processes, those of connections too. Raises RuntimeError where it does not run."""
        if self._process is None:
            raise RuntimeError("PostgreSQL does not run")
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend all of its processes while the context is open."""
        processes = self.processes()
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended:\n{(self._folder / 'log').read_text()}")
        command = [program("pg_isready"), "-h", self._address, "-p", str(self.port)]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - ours
        return done.returncode == 0


@contextmanager
def run_postgres(
    address: str = LOOPBACK, port: int | None = None, options: Mapping[str, str] | None = None
) -> Iterator[Postgres]:
    """A server while the context is open. Raises NotInstalled."""
    program("initdb")
    # Not the caller's folder, which the server's user may not be able to read.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Postgres(Path(folder), address, port, options)
        if user := _user():
            shutil.chown(folder, user["user"], user["group"])
        server.prepare()
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _user() -> dict[str, Any]:
    """User and groups to run it as."""
    return {} if os.geteuid() else {"user": USER, "group": USER, "extra_groups": []}
