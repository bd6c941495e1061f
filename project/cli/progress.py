"""Shows the progress of jobs and predictions: bars on a terminal; jobs are lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from project.cli.inputs import Item
from project.cli.job_batch import MAX_FOLLOWED
from project.cli.job_format import GAP, progress_of
from project.cli.output import plain

MAX_NAME_WIDTH = 40  # characters
MAX_BARS = MAX_FOLLOWED
MARKS = {True: ("✓", "green"), False: ("✗", "red")}


def line(item: Item) -> str:
    """Label, state and id of a job."""
    job = item.job or {}
    if item.saved:
        state = f"succeeded{GAP}{item.saved}"
    elif item.failure:
        state = "cancelled" if job.get("status") == "cancelled" else "failed"
    else:
        state = str(job.get("status", ""))
    job_id = str(job.get("id", ""))
    ids = "" if job_id == item.label else job_id
    return plain(GAP.join(filter(None, [item.label, state, ids])))


class Lines:
    """A line whenever the state of a job changes; progress is left out."""

    def __init__(self) -> None:
        self._printed: dict[int, str] = {}
        self._reasons: set[str] = set()

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_what: object) -> None:
        """Nothing to clean up."""

    def show(self, item: Item) -> None:
        """Print the job's line unless it was the last one."""
        if (item.job or {}).get("status") == "succeeded" and not item.over:
            return  # the next line has the path of its result
        text = line(item)
        if self._printed.get(id(item)) != text:
            self._printed[id(item)] = text
            with suppress(BrokenPipeError):  # the reader is gone; results are saved all the same
                typer.echo(text)

    def show_retry(self, reason: str) -> None:
        """Print why a request is retried, once for each reason."""
        if reason not in self._reasons:
            self._reasons.add(reason)
            typer.echo(f"{reason}; retrying", err=True)


class Bars:
    """A bar for each running job, a line above for each finished one, and their count."""

    def __init__(self, count: int) -> None:
        column = Column(max_width=MAX_NAME_WIDTH, no_wrap=True, overflow="ellipsis")
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=column),
            BarColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=Console(),
            transient=True,
        )
        self._total = self._progress.add_task("all", total=count, state=f"0/{count}")
        self._count = count
        self._tasks: dict[int, TaskID] = {}
        self._over = 0
        self._reasons: set[str] = set()

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Remove the bars; the lines stay."""
        self._progress.stop()

    def show(self, item: Item) -> None:
        """Update the job's bar, or replace it with its line."""
        if item.over:
            self._end(item)
            return
        job = item.job or {}
        task = self._tasks.get(id(item))
        if task is None:
            if len(self._tasks) == MAX_BARS:
                return  # until another one is finished
            name = plain(item.label)
            task = self._tasks[id(item)] = self._progress.add_task(name, total=1.0, state="")
        share = progress_of(job)
        state = "waiting" if job.get("status") == "accepted" else f"{share:.0%}"
        self._progress.update(task, completed=share, state=state)

    def show_retry(self, reason: str) -> None:
        """Print why a request is retried, once for each reason, above the bars."""
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._progress.console.print(Text(f"{reason}; retrying", "yellow"), soft_wrap=True)

    def _end(self, item: Item) -> None:
        task = self._tasks.pop(id(item), None)
        if task is not None:
            self._progress.remove_task(task)
        mark, colour = MARKS[item.failure is None]
        self._progress.console.print(Text(f"{mark} ", colour) + Text(line(item)), soft_wrap=True)
        self._over += 1
        state = f"{self._over}/{self._count}"
        self._progress.update(self._total, completed=self._over, state=state)


class Bar:
    """One bar on stderr for all items of a command, those that are half done among them."""

    def __init__(self, title: str, count: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=count, state="loading")
        self._count = count
        self._over = 0
        self._shares: dict[int, float] = {}  # of the items that are being processed
        self._reasons: set[str] = set()

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        self._progress.stop()

    @contextmanager
    def item(self, item: Item) -> Iterator[None]:
        """Count an item as being processed, then as done, whether it failed or not."""
        self.show(item, 0.0)
        try:
            yield
        finally:
            self._shares.pop(id(item), None)
            self._over += 1
            self._update()

    def show(self, item: Item, share: float) -> None:
        """Show the share of an item that is done, 0 to 1; may be called in any thread."""
        self._shares[id(item)] = min(1.0, max(0.0, share))
        self._update()

    def show_retry(self, reason: str) -> None:
        """Print why a request is retried, once for each reason."""
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._progress.console.print(Text(f"{reason}; retrying", "yellow"), soft_wrap=True)

    def _update(self) -> None:
        done = self._over + sum(list(self._shares.values()))
        state = f"{self._over}/{self._count}" if self._count > 1 else f"{done:.0%}"
        self._progress.update(self._task, completed=done, state=state)


def display(count: int) -> "Bars | Lines":
    """Bars on a terminal, else lines."""
    return Bars(count) if sys.stdout.isatty() else Lines()
