"""A command runs again after each change of the files that count, and ends with what it started."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from project.processes.reload import Reloader, watched_files

pytestmark = pytest.mark.anyio
DEADLINE = 60
# Each writes its process id into a file of its own, which shows that it has started.
STARTED = "import os, pathlib, signal, sys\npathlib.Path(sys.argv[1], str(os.getpid())).touch()\n"
WAITS = f"{STARTED}signal.pause()\n"
FAILS = f"{STARTED}raise SystemExit(3)\n"
IGNORES_SIGTERM = f"""
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 2:
    subprocess.Popen([sys.executable, *sys.orig_argv[1:], "child"])
{STARTED}
while True:
    signal.pause()
"""


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Scene:
    """A reloader of a command, and the folder that it watches."""

    def __init__(self, folder: Path, script: str) -> None:
        self.source = folder / "project"
        self.settings = folder / ".env"
        self.pids = folder / "pids"
        for path in (self.source, self.pids):
            path.mkdir()
        (self.source / "model.py").write_text("first")
        self.reloader = Reloader(
            [sys.executable, "-c", script, str(self.pids)],
            lambda: watched_files(self.source, self.settings),
            interval_seconds=0.01,
            stop_seconds=0.5 if script is IGNORES_SIGTERM else DEADLINE,
        )

    async def started(self, count: int) -> list[int]:
        """The ids of all processes, once so many have started."""
        async with asyncio.timeout(DEADLINE):
            while len(found := list(self.pids.iterdir())) < count:  # noqa: ASYNC110 - of processes
                await asyncio.sleep(0.01)
        return [int(path.name) for path in found]


@asynccontextmanager
async def running(folder: Path, script: str) -> AsyncIterator[Scene]:
    scene = Scene(folder, script)
    task = asyncio.create_task(scene.reloader.run())
    try:
        yield scene
    finally:
        scene.reloader.stop()
        async with asyncio.timeout(DEADLINE):
            await task
    assert not [pid for pid in await scene.started(0) if lives(pid)]


@pytest.mark.parametrize(
    "change",
    [
        lambda scene: (scene.source / "model.py").write_text("another"),
        lambda scene: (scene.source / "model.py").unlink(),
        lambda scene: (scene.source / "new.py").touch(),
        lambda scene: scene.settings.write_text("QUEUE_LIMIT=1"),
    ],
    ids=["changed", "removed", "added", "settings"],
)
async def test_a_change_starts_the_command_again(tmp_path, capfd, change):
    """The one before has ended by then; the file is named."""
    async with running(tmp_path, WAITS) as scene:
        (first,) = await scene.started(1)
        change(scene)
        await scene.started(2)
        assert not lives(first)
    assert "changed: starting again" in capfd.readouterr().err


async def test_a_command_that_ends_by_itself_waits_for_the_next_change(tmp_path, capfd):
    """A slip of the pen must not end what runs beside it."""
    async with running(tmp_path, FAILS) as scene:
        for count in (1, 2):
            await scene.started(count)
            async with asyncio.timeout(DEADLINE):
                said = ""
                while "ended with 3" not in said:
                    await asyncio.sleep(0.01)
                    said += capfd.readouterr().err
            (scene.source / "model.py").write_text(f"change {count}{'!' * count}")
        await scene.started(3)


async def test_what_does_not_end_is_killed_with_what_it_started(tmp_path):
    """Else a port would stay taken."""
    async with running(tmp_path, IGNORES_SIGTERM) as scene:
        before = await scene.started(2)
        (scene.source / "model.py").write_text("another")
        await scene.started(4)
        assert not [pid for pid in before if lives(pid)]


def test_compiled_hidden_and_backup_files_do_not_count(tmp_path):
    """Python and editors write them."""
    source = tmp_path / "project"
    for name in (
        "models/__pycache__/a.pyc",
        ".git/x",
        "a.py~",
        ".a.py.swp",
        "a.py",
        "models/b.npz",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    found = watched_files(source, tmp_path / ".env")
    assert {str(path.relative_to(source)) for path in found} == {"a.py", "models/b.npz"}
    (tmp_path / ".env").touch()
    assert tmp_path / ".env" in watched_files(source, tmp_path / ".env")
