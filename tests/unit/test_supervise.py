"""Children run until they are told to stop; one that exits is restarted, ever more slowly."""

import asyncio
import os
import signal
import sys
from collections import Counter

import pytest
from loguru import logger

from project.processes.supervise import Backoff, Child, supervise

pytestmark = pytest.mark.anyio
WAITS = [sys.executable, "-c", "import signal; signal.pause()"]
EXITS = [sys.executable, "-c", "raise SystemExit(7)"]
KILLS_ITSELF = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
IGNORES_SIGTERM = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "w") as ready:
    ready.write("ready")
signal.pause()
"""
SOON = Backoff(first_seconds=0.001, max_seconds=0.01)


class Events:
    """Counts what is logged of each child, and notifies those that wait for it."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, object]] = Counter()
        self.changed = asyncio.Condition()

    async def note(self, message: object) -> None:
        record = message.record  # type: ignore[attr-defined]
        async with self.changed:
            self.counts[record["message"], record["extra"].get("process")] += 1
            self.changed.notify_all()

    async def wait_for(self, event: str, child: str, times: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.counts[event, child] >= times)


@pytest.fixture
async def events():
    found = Events()
    number = logger.add(found.note)
    yield found
    logger.remove(number)


@pytest.mark.parametrize(
    ("command", "event"),
    [(["/no/such/program"], "process_not_started"), (EXITS, "process_ended")],
    ids=["cannot be started", "exits at once"],
)
async def test_a_child_is_restarted_without_harm_to_the_others(events, command, event):
    """The one beside it runs on, and both are gone at the end."""
    beside, child = Child("beside", WAITS), Child("child", command, backoff=SOON)
    stopping = asyncio.Event()
    running = asyncio.create_task(supervise([child, beside], stopping, 60))
    async with asyncio.timeout(60):
        await events.wait_for(event, "child", 3)
        assert beside.alive
        stopping.set()
        await running
    assert not child.alive
    assert not beside.alive


@pytest.mark.parametrize(
    ("command", "reason"), [(EXITS, "crash"), (KILLS_ITSELF, "killed")], ids=["crash", "killed"]
)
async def test_an_exit_is_reported_with_its_reason(command, reason):
    """A kill is most often the kernel's, for want of memory."""
    stopping, reasons = asyncio.Event(), []

    def note(_child: Child, why: str) -> None:
        reasons.append(why)
        if len(reasons) == 2:
            stopping.set()

    async with asyncio.timeout(60):
        await supervise([Child("child", command, backoff=SOON)], stopping, 60, note)
    assert reasons[:2] == [reason, reason]


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path, events):
    """After its time to stop."""
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    stopping = asyncio.Event()
    child = Child("child", [sys.executable, "-c", IGNORES_SIGTERM, str(fifo)])
    running = asyncio.create_task(supervise([child], stopping, 0.05))
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(fifo.read_text) == "ready"
        stopping.set()
        await running
        await events.wait_for("process_killed", "child", 1)
    assert child.process is not None
    assert child.process.returncode == -signal.SIGKILL


def test_delays_double_up_to_a_maximum():
    """So that a child that cannot run costs next to nothing."""
    backoff, delay, delays = Backoff(first_seconds=1, max_seconds=5), None, []
    for _ in range(4):
        delay = backoff.next_delay(delay, ran_seconds=0)
        delays.append(delay)
    assert delays == [1, 2, 4, 5]


def test_a_child_that_ran_well_is_restarted_soon():
    """Whatever happened before."""
    backoff = Backoff(first_seconds=1, steady_seconds=5)
    assert backoff.next_delay(8, ran_seconds=6) == 1
