"""Supervises child processes: each is restarted when it exits, with exponential backoff."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from loguru import logger

KILLED = 128 + signal.SIGKILL  # exit code, as shells report it


@dataclass(frozen=True)
class Backoff:
    """Delays before restarts: they double from the first to the maximum.

    steady_seconds: a process that ran for longer had started well, and begins with the first delay.
    """

    first_seconds: float = 0.5
    max_seconds: float = 10.0
    steady_seconds: float = 5.0

    def next_delay(self, previous: float | None, ran_seconds: float) -> float:
        """Seconds before the next start. previous: the delay before the last one, if any."""
        if previous is None or ran_seconds > self.steady_seconds:
            return self.first_seconds
        return min(2 * previous, self.max_seconds)


@dataclass
class Child:
    """A supervised process. slot: of its metric files, for a job worker."""

    name: str
    command: list[str]
    slot: int | None = None
    backoff: Backoff = Backoff()
    process: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.returncode is None

    def terminate(self) -> None:
        """Send SIGTERM; it passes that on to its own children."""
        if self.process and self.alive:
            self.process.terminate()

    def kill(self) -> None:
        """Send SIGKILL; its own children end with it."""
        if self.process and self.alive:
            self.process.kill()


ExitHandler = Callable[[Child, str], None]


def _ignore(_child: Child, _reason: str) -> None:
    """Ignore an exit."""


async def supervise(
    children: Sequence[Child],
    stopping: asyncio.Event,
    stop_seconds: float,
    on_exit: ExitHandler = _ignore,
) -> None:
    """Run all children until `stopping` is set, then terminate them.

    stop_seconds: time that they have to exit before they are killed. on_exit: called at each exit
    with its reason: clean, killed or crash.
    """
    tasks = [asyncio.create_task(_run(child, stopping, on_exit)) for child in children]
    await stopping.wait()
    logger.info("supervisor_stopping")
    if not tasks:
        return
    for child in children:
        child.terminate()
    _, late = await asyncio.wait(tasks, timeout=stop_seconds)
    for child in children:
        if child.alive:
            logger.bind(process=child.name).warning("process_killed")
            child.kill()
    if late:
        await asyncio.wait(late)


async def _run(child: Child, stopping: asyncio.Event, on_exit: ExitHandler) -> None:
    """Start a child, and restart it whenever it exits."""
    delay: float | None = None
    while not stopping.is_set():
        started = time.monotonic()
        try:
            child.process = await asyncio.create_subprocess_exec(*child.command)
        except OSError as error:  # no memory, no descriptors: that may be temporary
            logger.bind(process=child.name, reason=str(error)).error("process_not_started")
        else:
            if stopping.is_set():  # while it was being started
                child.terminate()
            code = await child.process.wait()
            if stopping.is_set():
                on_exit(child, "clean")
                return
            on_exit(child, "killed" if code < 0 or code == KILLED else "crash")
            logger.bind(process=child.name, code=code).error("process_ended")
        delay = child.backoff.next_delay(delay, time.monotonic() - started)
        await _sleep(delay, stopping)


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    """Sleep, but no longer than until `stopping` is set."""
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait([waiting], timeout=seconds)
    waiting.cancel()
