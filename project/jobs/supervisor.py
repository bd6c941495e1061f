"""Starts the job workers and their metrics, and starts again whichever ends.

Each worker is a Dramatiq of its own, with one process and one thread: where several share one, the
death of a worker ends all of them.
"""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from project.configuration import load_settings
from project.jobs.dramatiq_process import KILLED
from project.observability import metrics, multiprocess, slots
from project.observability.logging import configure_logging
from project.settings import Settings

STEADY_SECONDS = 5.0  # what lived so long had started: it is started again soon, else ever later
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
LOOK_MILLISECONDS = 100  # between two looks at the queue, and so between two jobs, at most
FLUSH_SECONDS = 4.0  # after WORKER_SHUTDOWN_SECONDS, for logs, traces and Sentry


@dataclass
class Child:
    """A process that is kept running. slot: of its metric files, for a worker."""

    name: str
    command: list[str]
    slot: int | None = None
    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    pause: float = FIRST_PAUSE_SECONDS  # before the next start, where it lived for a moment only

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.returncode is None

    def end(self) -> None:
        """Ask it to end; it tells those that it has started."""
        if self.process and self.alive:
            self.process.terminate()

    def kill(self) -> None:
        """End it at once; what it has started ends with it."""
        if self.process and self.alive:
            self.process.kill()


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
        kept = [asyncio.create_task(self._keep(child)) for child in self._children]
        await self._stopping.wait()
        logger.info("supervisor_stopping")
        for child in self._children:
            child.end()
        patience = self._settings.worker_shutdown_seconds + FLUSH_SECONDS
        _, late = await asyncio.wait(kept, timeout=patience)
        for child in self._children:
            if child.alive:
                logger.bind(process=child.name).warning("process_killed")
                child.kill()
        if late:
            await asyncio.wait(late)

    async def _keep(self, child: Child) -> None:
        """Start a child, and again whenever it ends."""
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                child.process = await asyncio.create_subprocess_exec(*child.command)
            except OSError as error:  # no memory, no descriptors: that may pass
                logger.bind(process=child.name, reason=str(error)).error("process_not_started")
                await self._rest(child)
                continue
            if self._stopping.is_set():  # while it was being started
                child.end()
            code = await child.process.wait()
            if child.slot is not None:
                multiprocess.forget_live_gauges(self._directory, str(child.slot))
            if self._stopping.is_set():
                self._count(child, "clean")
                return
            steady = time.monotonic() - began > STEADY_SECONDS
            killed = code < 0 or code == KILLED
            self._count(child, "killed" if killed else "crash")
            logger.bind(process=child.name, code=code).error("process_ended")
            child.pause = FIRST_PAUSE_SECONDS if steady else child.pause
            await self._rest(child)

    async def _rest(self, child: Child) -> None:
        """Pause before the next start, and longer before the one after it."""
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([stopping], timeout=child.pause)
        stopping.cancel()
        child.pause = min(2 * child.pause, LONGEST_PAUSE_SECONDS)

    @staticmethod
    def _count(child: Child, reason: str) -> None:
        if child.slot is not None:
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
        *(sys.executable, "-m", "project.jobs.dramatiq_process", own, "project.worker:broker"),
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
    return [*workers, Child("exposition", [sys.executable, "-m", "project.jobs.exposition", own])]


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
