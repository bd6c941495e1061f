"""Supervises the job workers and their metrics server: starts them, and restarts one that ends.

Each worker is a Dramatiq main process with one worker process and one thread. If several worker
processes shared a main process, the death of one would end all of them.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from project.observability import metrics, multiprocess, worker_slots
from project.observability.logging import configure_logging
from project.processes.supervise import Child, supervise
from project.settings import Settings
from project.settings.loading import load_settings
from project.settings.misspelt import log_misspelt_settings

POLL_MILLISECONDS = 100  # between two polls of empty queues, at most
FLUSH_SECONDS = 4.0  # after WORKER_SHUTDOWN_SECONDS, to flush logs, traces and Sentry


class Supervisor:
    """Keeps the workers and their metrics server running until a signal stops it."""

    def __init__(
        self, settings: Settings, directory: Path, children: Sequence[Child] | None = None
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._stopping = asyncio.Event()
        self._children = worker_children(settings, directory) if children is None else children

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then give the workers time to release their jobs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        metrics.WORKERS_EXPECTED.set(self._settings.worker_processes)
        timeout = self._settings.worker_shutdown_seconds + FLUSH_SECONDS
        await supervise(self._children, self._stopping, timeout, self._on_exit)

    def stop(self) -> None:
        """Stop the children, then end `run`."""
        self._stopping.set()

    def _on_exit(self, child: Child, reason: str) -> None:
        if child.slot is not None:
            multiprocess.forget_live_gauges(self._directory, str(child.slot))
            metrics.WORKER_EXITS.labels(reason).inc()


def worker_children(settings: Settings, directory: Path) -> list[Child]:
    """The commands of the workers and of their metrics server."""
    supervisor = str(os.getpid())
    nice = ["nice", "-n", str(settings.worker_nice)]
    variables = [
        f"dramatiq_prom_db={directory}",
        f"dramatiq_worker_timeout={POLL_MILLISECONDS}",
    ]
    dramatiq = [
        *(sys.executable, "-m", "project.jobs.dramatiq_cli", supervisor, "project.worker:broker"),
        *("--processes", "1", "--threads", "1", "--skip-logging"),
        *("--worker-fork-timeout", "1000"),  # ms until the main process forwards the worker's log
        *("--worker-shutdown-timeout", str(round(settings.worker_shutdown_seconds * 1000))),
    ]
    workers = [
        Child(f"worker-{slot}", [*nice, "env", f"WORKER_SLOT={slot}", *variables, *dramatiq], slot)
        for slot in range(settings.worker_processes)
    ]
    return [
        *workers,
        Child("exposition", [sys.executable, "-m", "project.jobs.metrics_server", supervisor]),
    ]


def main() -> None:
    """Supervise until a signal stops this process."""
    settings = load_settings()
    configure_logging(settings)
    directory = settings.prometheus_multiproc_dir
    if directory is None:
        raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not set: start through ./prestart.sh")
    worker_slots.mark_in_use(directory)
    metrics.declare()
    log_misspelt_settings()
    asyncio.run(Supervisor(settings, directory).run())


if __name__ == "__main__":
    main()
