"""Runs a command, and runs it again whenever the source or .env changes: for `make dev`.

`python -m project.processes.reload COMMAND…`. The command is stopped and started whole, as a
deployment does, so every change takes effect: of code, of data beside it, and of settings. Where it
ends by itself, as after a slip of the pen, the next change starts it again.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

SOURCE, SETTINGS = Path("project"), Path(".env")
INTERVAL_SECONDS = 0.5  # between two looks at the files
KILL_PAUSE_SECONDS = 0.02  # between two looks at killed processes
STOP_SECONDS = 5.0  # to finish what runs; honcho kills its processes after as long

Files = dict[Path, tuple[int, int]]
"""Path → time of the last change, and size."""


def watched_files(source: Path = SOURCE, settings: Path = SETTINGS) -> Files:
    """The files whose changes count: neither hidden, nor an editor's backup, nor compiled."""
    found: Files = {}
    for path in (*_source_files(source), settings):
        try:
            stat = path.stat()
        except OSError:  # there is none, or it has just been replaced
            continue
        found[path] = stat.st_mtime_ns, stat.st_size
    return found


def _source_files(folder: Path) -> Iterator[Path]:
    try:
        inside = sorted(folder.iterdir())
    except OSError:  # removed meanwhile
        return
    for path in inside:
        if path.name.startswith(".") or path.name.endswith("~") or path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from _source_files(path)
        else:
            yield path


class Reloader:
    """Runs a command until it is stopped. files: returns what is watched."""

    def __init__(
        self,
        command: Sequence[str],
        files: Callable[[], Files] = watched_files,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._command = command
        self._files = files
        self._interval_seconds = interval_seconds
        self._stop_seconds = stop_seconds
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Stop the command, then end `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Run the command, and again after each change."""
        while not self._stopping.is_set():
            seen = self._files()  # what changes while it starts counts as well
            process = await asyncio.create_subprocess_exec(*self._command)
            ended = asyncio.create_task(_report_end(process))
            changed = await self._next_change(seen)
            ended.cancel()
            await self._end(process)
            if changed:
                _report(f"{changed} changed: starting again")

    async def _next_change(self, seen: Files) -> Path | None:
        """Wait for a change, and until nothing changes any more; None once it is stopped."""
        changed: Path | None = None
        while not self._stopping.is_set():
            now = await asyncio.to_thread(self._files)
            if now == seen and changed:
                return changed
            if now != seen:
                changed = min(path for path in now | seen if now.get(path) != seen.get(path))
                seen = now
            await self._pause()
        return None

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._interval_seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Terminate a process; kill it, and all that it has started, where it takes too long."""
        if process.returncode is not None:
            return
        descendants = _descendants(process.pid)
        process.terminate()
        try:
            async with asyncio.timeout(self._stop_seconds):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        for one in descendants:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        while any(map(_lives, descendants)):  # noqa: ASYNC110 - no event; they may hold a port
            await asyncio.sleep(KILL_PAUSE_SECONDS)


async def _report_end(process: asyncio.subprocess.Process) -> None:
    code = await process.wait()
    _report(f"the command ended with {code}; it starts again after the next change")


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


async def main(command: Sequence[str]) -> None:
    """Run a command until SIGTERM or SIGINT."""
    reloader = Reloader(command)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, reloader.stop)
    await reloader.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
