"""Job workers as shipped, observed from outside: the supervisor and its processes."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from drills.logfile import Logged
from drills.programs import start_program
from drills.server import ROOT, Metrics, environment, free_port
from drills.waiting import DEADLINE, wait_until

START_DEADLINE = 120.0


@dataclass
class JobWorkers(Logged):
    """A supervisor and its workers."""

    process: subprocess.Popen[bytes]
    metrics_port: int
    host: str = "127.0.0.1"

    def workers(self) -> list[psutil.Process]:
        """The processes that run jobs: the children of each Dramatiq."""
        found = []
        for leader in self.leaders():
            with suppress(psutil.NoSuchProcess):
                found += leader.children()
        return found

    def exposition(self) -> psutil.Process:
        """The process that serves the metrics."""
        return self._children("project.jobs.metrics_server")[0]

    def leaders(self) -> list[psutil.Process]:
        """Dramatiq's main processes, one for each worker."""
        return self._children("project.jobs.dramatiq_cli")

    def _children(self, module: str) -> list[psutil.Process]:
        """Children of the supervisor that run a module."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                with suppress(psutil.NoSuchProcess):
                    if module in child.cmdline():
                        found.append(child)
        return found

    def metrics(self) -> Metrics:
        """Scrape once."""
        url = f"http://{self.host}:{self.metrics_port}/metrics"
        answer = httpx2.get(url, timeout=DEADLINE)
        return Metrics(answer.raise_for_status().text)

    def await_ready(self, workers: int) -> None:
        """Wait until so many workers have logged that they are ready."""

        def ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the supervisor ended:\n{self.log()}")
            return self.log().count("worker_ready") >= workers

        wait_until(ready, f"{workers} workers are ready", START_DEADLINE)

    def stop(self) -> int:
        """Send SIGTERM; returns the supervisor's exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def end(self) -> None:
        """Kill what still runs: every process of the supervisor's session."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)


@contextmanager
def run_job_workers(
    folder: Path, *, ready: bool = True, root: Path = ROOT, **settings: object
) -> Iterator[JobWorkers]:
    """Job workers while the context is open. ready: wait until they have started.

    root: of the source tree. settings: environment variables.
    """
    port = int(str(settings.get("WORKER_METRICS_PORT") or free_port()))
    own = {"WORKER_METRICS_PORT": port, "PROMETHEUS_MULTIPROC_DIR": folder / "worker_metrics"}
    variables = environment(folder, **{"JOBS": "on"} | own | settings)
    log_file = folder / f"job_workers_{port}.log"
    command = [str(root / "prestart.sh"), "worker"]
    process = start_program(command, root, variables, log_file)
    job_workers = JobWorkers(log_file, process, port, variables.get("HOST", "127.0.0.1"))
    try:
        if ready:
            job_workers.await_ready(int(str(settings.get("WORKER_PROCESSES", 2))))
        yield job_workers
    finally:
        job_workers.end()
