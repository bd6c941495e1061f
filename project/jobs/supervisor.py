"""Starts the job workers and their metrics, and starts again whichever ends.

Each worker is a Dramatiq of its own, with one process and one thread: where several share one, the
death of a worker ends all of them.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from project.observability import metrics, multiprocess, slots
from project.observability.logging import configure_logging
from project.processes.supervise import Child, supervise
from project.settings import Settings
from project.settings.loading import load_settings

LOOK_MILLISECONDS = 100  # between two looks at the queue, and so between two jobs, at most
FLUSH_SECONDS = 4.0  # after WORKER_SHUTDOWN_SECONDS, for logs, traces and Sentry


class Supervisor:
    """Keeps its children running until it is told to stop."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._stopping = asyncio.Event()
        self._children = children(settings, directory)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; then give jobs time to be given back."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        metrics.WORKERS_EXPECTED.set(self._settings.worker_processes)
        patience = self._settings.worker_shutdown_seconds + FLUSH_SECONDS
        await supervise(self._children, self._stopping, patience, self._ended)

    def _ended(self, child: Child, reason: str) -> None:
        if child.slot is not None:
            multiprocess.forget_live_gauges(self._directory, str(child.slot))
            metrics.WORKER_EXITS.labels(reason).inc()


def children(settings: Settings, directory: Path) -> list[Child]:
    """The workers, and what serves their metrics."""
    own = str(os.getpid())
    yielding = ["nice", "-n", str(settings.worker_nice)]
    variables = [
        f"dramatiq_prom_db={directory}",
        "dramatiq_queue_prefetch=1",  # a message that waits in a busy worker waits for nothing
        f"dramatiq_worker_timeout={LOOK_MILLISECONDS}",
    ]
    dramatiq = [
        *(sys.executable, "-m", "project.jobs.worker_main", own, "project.worker:broker"),
        *("--processes", "1", "--threads", "1", "--skip-logging"),
        *("--worker-fork-timeout", "1000"),  # until it shows what the worker logs as it starts
        *("--worker-shutdown-timeout", str(round(settings.worker_shutdown_seconds * 1000))),
    ]
    workers = [
        Child(
            f"worker-{slot}", [*yielding, "env", f"WORKER_SLOT={slot}", *variables, *dramatiq], slot
        )
        for slot in range(settings.worker_processes)
    ]
    return [
        *workers,
        Child("exposition", [sys.executable, "-m", "project.jobs.metrics_server", own]),
    ]


def main() -> None:
    """Supervise until told to stop."""
    settings = load_settings()
    configure_logging(settings)
    directory = settings.prometheus_multiproc_dir
    if directory is None:
        raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not set: start through ./prestart.sh")
    slots.share(directory)
    metrics.declare()
    asyncio.run(Supervisor(settings, directory).run())


if __name__ == "__main__":
    main()
