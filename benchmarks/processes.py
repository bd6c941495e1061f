"""Starts a server, waits until it is ready, measures its memory, and terminates it."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.paths import ROOT, VAR

START_SECONDS = 120.0
END_SECONDS = 15.0
POLL_SECONDS = 0.05
ASK_SECONDS = 30.0


class NotRunnable(Exception):
    """The subject cannot be installed or started; the message says why."""


@dataclass(frozen=True)
class Answer:
    """A response. headers: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A server that was started. started: `time.perf_counter()` just before."""

    process: subprocess.Popen[bytes]
    port: int
    log_file: Path
    started: float

    def log(self) -> str:
        """Its output so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def family(self) -> list[psutil.Process]:
        """Its processes, with all descendants."""
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        return []

    def workers(self) -> set[int]:
        """Process ids of its live children."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            return {child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE}
        return set()

    def processor_seconds(self) -> float:
        """Processor time of all its processes so far."""
        total = 0.0
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self) -> tuple[int, int]:
        """Bytes of all its processes: proportional (PSS) and resident (RSS)."""
        proportional = resident = 0
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                info = process.memory_full_info()
                proportional, resident = proportional + info.pss, resident + info.rss
        return proportional, resident


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def need(command: str, package: str) -> None:
    """Raise SystemExit(2) where a tool is not installed."""
    if shutil.which(command) is None:
        print(f"{command} is missing: install the package {package}")
        raise SystemExit(2)


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ASK_SECONDS)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, answer.read())
    finally:
        connection.close()


@contextmanager
def running(
    command: Sequence[str],
    *,
    port: int,
    variables: Mapping[str, str],
    name: str,
    ready: Callable[[Server], bool],
) -> Iterator[Server]:
    """A server that is ready, while the context is open.

    ready: polled; may raise OSError while nothing listens.
    Raises NotRunnable where it ends, or is not ready in time.
    """
    logs = VAR / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log_file = logs / f"{name}.log"
    started = time.perf_counter()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, port, log_file, started)
    try:
        _await(server, ready)
        yield server
    finally:
        end(server)


def _await(server: Server, ready: Callable[[Server], bool]) -> None:
    while True:
        with suppress(OSError, http.client.HTTPException):
            if ready(server):
                return
        if server.process.poll() is not None:
            raise NotRunnable(f"it ended with {server.process.returncode}: {_last_line(server)}")
        if time.perf_counter() - server.started > START_SECONDS:
            raise NotRunnable(f"not ready within {START_SECONDS:g} s: {_last_line(server)}")
        time.sleep(POLL_SECONDS)


def _last_line(server: Server) -> str:
    lines = [line.strip() for line in server.log().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it wrote nothing"


def end(server: Server) -> None:
    """Terminate it, then kill its remaining processes."""
    family = server.family()
    with suppress(ProcessLookupError):
        server.process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGKILL)
    for process in family:  # psutil recognises a reused process id
        with suppress(psutil.NoSuchProcess):
            process.kill()
    server.process.wait(END_SECONDS)
    psutil.wait_procs(family, END_SECONDS)
