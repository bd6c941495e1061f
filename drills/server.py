"""A real server: started by prestart.sh, observed from outside, and stopped whole."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from drills.logfile import Logged
from drills.programs import start_program
from drills.waiting import DEADLINE, wait_until

ROOT = Path(__file__).parents[1]
OK = 200
KILL_SECONDS = 10.0  # for the kernel to end killed processes


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """A minimal environment with these settings; None leaves one to .env."""
    base: dict[str, object] = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
        "LOG_FORMAT": "json",
        "WEB_CONCURRENCY": "2",  # on any machine
        "INFERENCE_BATCH": "8",  # not measured
        "JOBS": "off",  # unless a test sets it
        "MODELS": "classification",  # the others only run as jobs
        "QUEUE_SECONDS": "60",  # a slow machine refuses nothing, unless a test asks for it
    }
    given = base | settings
    return {name: str(value) for name, value in given.items() if value is not None}


class Metrics:
    """One scrape, parsed."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        self.series: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples
        }
        self.samples: list[Sample] = samples

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name that carry these labels; 0 where there are none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@dataclass
class Server(Logged):
    """A running server, observed from outside. metrics_port: None: /metrics is on `port`."""

    process: subprocess.Popen[bytes]
    port: int
    metrics_directory: Path
    metrics_port: int | None = None
    metrics_token: str | None = None
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    @property
    def master(self) -> int:
        """Process id of Gunicorn's arbiter."""
        return self.process.pid

    def workers(self) -> list[int]:
        """Process ids of the live workers."""
        return sorted(child.pid for child in self._children() if lives(child))

    def _children(self) -> list[psutil.Process]:
        """Live workers, and dead ones that the arbiter has not reaped yet."""
        with suppress(psutil.NoSuchProcess):
            return list(psutil.Process(self.master).children())
        return []

    def metrics(self) -> Metrics:
        """Scrape once."""
        headers = {"Authorization": f"Bearer {self.metrics_token}"} if self.metrics_token else {}
        port = self.metrics_port or self.port
        url = f"http://{self.host}:{port}/metrics"
        answer = httpx2.get(url, headers=headers, timeout=DEADLINE)
        return Metrics(answer.raise_for_status().text)

    def signal(self, number: int) -> None:
        """Send the arbiter a signal."""
        self.process.send_signal(number)

    def reload(self) -> None:
        """Send SIGHUP and wait until only new workers serve."""
        before = self.workers()
        ready = self.log().count("worker_ready")
        self.signal(signal.SIGHUP)

        def replaced() -> bool:
            now = [child.pid for child in self._children()]
            new = len(now) == len(before) and not set(now) & set(before)
            return new and self.log().count("worker_ready") >= ready + len(before)

        wait_until(replaced, "a reload has replaced every worker")

    def wait(self, deadline: float = DEADLINE) -> int:
        """Wait for the arbiter to end; returns its exit code."""
        return self.process.wait(deadline)

    def stop(self, deadline: float = DEADLINE) -> int:
        """Send SIGTERM; returns the arbiter's exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait(deadline)
        wait_until(
            lambda: not self.processes(), "every process of the server has ended", KILL_SECONDS
        )
        return code

    def await_gone(self) -> None:
        """Wait until every process of the server has ended."""
        wait_until(lambda: not self.processes(), "every process of the server ended", KILL_SECONDS)

    def processes(self) -> list[int]:
        """Every live process of the server's session, whatever its parent."""
        return [
            process.pid
            for process in psutil.process_iter()
            if _session(process.pid) == self.master and lives(process)
        ]

    def tail(self, lines: int = 40) -> str:
        """The end of the log."""
        return "\n".join(self.log().splitlines()[-lines:])


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def launch(
    folder: Path, *, app: str | None = None, root: Path = ROOT, **settings: object
) -> Server:
    """Start a server without waiting for it; see `serve`."""
    port = int(str(settings.setdefault("PORT", free_port())))
    command = [str(root / "prestart.sh"), "api", *([app] if app else [])]
    variables = environment(folder, **settings)
    log_file = folder / f"server_{port}.log"
    process = start_program(command, root, variables, log_file)
    return Server(
        log_file,
        process,
        port,
        Path(variables["PROMETHEUS_MULTIPROC_DIR"]),
        int(variables["METRICS_PORT"]) if "METRICS_PORT" in variables else None,
        variables.get("METRICS_TOKEN"),
        variables.get("HOST", "127.0.0.1"),
    )


@contextmanager
def serve(
    folder: Path,
    *,
    app: str | None = None,
    root: Path = ROOT,
    ready: int = OK,
    **settings: object,
) -> Iterator[Server]:
    """A server whose workers have all started, while the context is open.

    app: for Gunicorn; None: the product as shipped. root: of the source tree. ready: the expected
    status of /ready. settings: environment variables, as in `serve(tmp_path, WEB_CONCURRENCY=4)`.
    """
    server = launch(folder, app=app, root=root, **settings)
    try:
        await_ready(server, ready, int(str(settings.get("WEB_CONCURRENCY", 2))))
        yield server
        server.stop()
    finally:
        end(server)


def await_ready(server: Server, status: int, workers: int) -> None:
    """Wait until /ready answers with a status and so many workers are ready, by the log."""

    def started() -> bool:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{server.tail()}")
        if server.log().count("worker_ready") < workers:  # seldom asked: a request takes longer
            return False
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{server.url}/ready", timeout=DEADLINE).status_code == status
        return False

    try:
        wait_until(started, f"/ready answers {status} and {workers} workers are ready")
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{server.tail()}") from None


def end(server: Server) -> None:
    """Kill every process of the server that still runs."""
    with suppress(ProcessLookupError):
        os.killpg(server.master, signal.SIGKILL)
    server.process.wait(DEADLINE)
    wait_until(
        lambda: not server.processes(), "every process of the server has ended", KILL_SECONDS
    )
