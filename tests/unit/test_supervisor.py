"""The supervisor keeps what it can running, and tries again what it cannot start."""

import asyncio
import sys
from pathlib import Path

import pytest
from loguru import logger

from project.jobs.supervisor import Supervisor
from project.processes.supervise import Child
from tests.conftest import make_settings

pytestmark = pytest.mark.anyio
WAITS = [sys.executable, "-c", "import signal; signal.pause()"]
ENDS = [sys.executable, "-c", "raise SystemExit(7)"]


@pytest.fixture
def events():
    """The name and the process of each event that is logged."""
    seen: list[tuple[str, object]] = []

    def note(message: object) -> None:
        record = message.record  # type: ignore[attr-defined]
        seen.append((record["message"], record["extra"].get("process")))

    number = logger.add(note)
    yield seen
    logger.remove(number)


async def supervised(folder: Path, child: Child, until) -> None:
    """Supervise a child beside one that only waits, until something holds; then stop."""
    supervisor = Supervisor(make_settings(), folder)
    beside = Child("beside", WAITS)
    supervisor._children = [child, beside]
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(60):
        while not (until() and beside.alive):  # noqa: ASYNC110 - what is waited for is in a log
            await asyncio.sleep(0.01)
        supervisor._stopping.set()
        await running
    assert not child.alive
    assert not beside.alive


@pytest.mark.parametrize(
    ("command", "event"),
    [(["/no/such/program"], "process_not_started"), (ENDS, "process_ended")],
    ids=["cannot be started", "ends at once"],
)
async def test_a_child_is_tried_again(tmp_path, events, command, event):
    """After a pause, and without harm to the others."""
    child = Child("child", command, pause=0.01)
    await supervised(tmp_path, child, lambda: events.count((event, "child")) >= 3)
    assert child.pause > 0.01  # longer each time
