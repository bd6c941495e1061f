"""Keeps processes running: each is started again when it ends, with longer and longer pauses."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from loguru import logger

KILLED = 128 + signal.SIGKILL  # as shells have it
STEADY_SECONDS = 5.0  # what lived so long had started: it is started again soon, else ever later
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


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


def _ignore(_child: Child, _reason: str) -> None:
    """Take no note of an end."""


async def supervise(
    children: Sequence[Child],
    stopping: asyncio.Event,
    patience: float,
    ended: Callable[[Child, str], None] = _ignore,
) -> None:
    """Keep all running until `stopping` is set, then end them.

    patience: seconds that they have for it. ended: told of each end and its reason: clean, killed
    or crash.
    """
    kept = [asyncio.create_task(_keep(child, stopping, ended)) for child in children]
    await stopping.wait()
    logger.info("supervisor_stopping")
    if not kept:
        return
    for child in children:
        child.end()
    _, late = await asyncio.wait(kept, timeout=patience)
    for child in children:
        if child.alive:
            logger.bind(process=child.name).warning("process_killed")
            child.kill()
    if late:
        await asyncio.wait(late)


async def _keep(child: Child, stopping: asyncio.Event, ended: Callable[[Child, str], None]) -> None:
    """Start a child, and again whenever it ends."""
    while not stopping.is_set():
        began = time.monotonic()
        try:
            child.process = await asyncio.create_subprocess_exec(*child.command)
        except OSError as error:  # no memory, no descriptors: that may pass
            logger.bind(process=child.name, reason=str(error)).error("process_not_started")
            await _rest(child, stopping)
            continue
        if stopping.is_set():  # while it was being started
            child.end()
        code = await child.process.wait()
        if stopping.is_set():
            ended(child, "clean")
            return
        steady = time.monotonic() - began > STEADY_SECONDS
        ended(child, "killed" if code < 0 or code == KILLED else "crash")
        logger.bind(process=child.name, code=code).error("process_ended")
        child.pause = FIRST_PAUSE_SECONDS if steady else child.pause
        await _rest(child, stopping)


async def _rest(child: Child, stopping: asyncio.Event) -> None:
    """Pause before the next start, and longer before the one after it."""
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait([waiting], timeout=child.pause)
    waiting.cancel()
    child.pause = min(2 * child.pause, LONGEST_PAUSE_SECONDS)
