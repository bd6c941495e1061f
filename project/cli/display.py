"""Shows how far many jobs are: a bar for each on a terminal, plain lines anywhere else."""

import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from project.cli.batch import FOLLOWED_AT_ONCE
from project.cli.orders import Item
from project.cli.output import plain
from project.cli.showing import GAP, progress_of

WIDEST = 40  # characters of a name
MAX_BARS = FOLLOWED_AT_ONCE
MARKS = {True: ("✓", "green"), False: ("✗", "red")}


def line(item: Item) -> str:
    """What there is to say of a job now."""
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
    """A line whenever a job's state is another; progress is left out."""

    def __init__(self) -> None:
        self._said: dict[int, str] = {}
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        """There is nothing to prepare."""
        return self

    def __exit__(self, *_what: object) -> None:
        """There is nothing to tidy up."""

    def show(self, item: Item) -> None:
        """Say it unless it was said."""
        if (item.job or {}).get("status") == "succeeded" and not item.over:
            return  # the next line says where its result is
        text = line(item)
        if self._said.get(id(item)) != text:
            self._said[id(item)] = text
            with suppress(BrokenPipeError):  # nobody reads; results are saved all the same
                typer.echo(text)

    def tell(self, why: str) -> None:
        """Say why nothing moves, once."""
        if why not in self._told:
            self._told.add(why)
            typer.echo(f"{why}; trying again", err=True)


class Bars:
    """A bar for each job that is followed, a line above for each that is over, and their count."""

    def __init__(self, count: int) -> None:
        column = Column(max_width=WIDEST, no_wrap=True, overflow="ellipsis")
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
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Leave the lines, take the bars away."""
        self._progress.stop()

    def show(self, item: Item) -> None:
        """Move the job's bar, or put its line in place of it."""
        if item.over:
            self._end(item)
            return
        job = item.job or {}
        task = self._tasks.get(id(item))
        if task is None:
            if len(self._tasks) == MAX_BARS:
                return  # there will be room when one of them is over
            name = plain(item.label)
            task = self._tasks[id(item)] = self._progress.add_task(name, total=1.0, state="")
        share = progress_of(job)
        state = "waits" if job.get("status") == "accepted" else f"{share:.0%}"
        self._progress.update(task, completed=share, state=state)

    def tell(self, why: str) -> None:
        """Say why nothing moves, once, above the bars."""
        if why not in self._told:
            self._told.add(why)
            self._progress.console.print(Text(f"{why}; trying again", "yellow"), soft_wrap=True)

    def _end(self, item: Item) -> None:
        task = self._tasks.pop(id(item), None)
        if task is not None:
            self._progress.remove_task(task)
        mark, colour = MARKS[item.failure is None]
        self._progress.console.print(Text(f"{mark} ", colour) + Text(line(item)), soft_wrap=True)
        self._over += 1
        state = f"{self._over}/{self._count}"
        self._progress.update(self._total, completed=self._over, state=state)


def display(count: int) -> "Bars | Lines":
    """What suits where stdout leads."""
    return Bars(count) if sys.stdout.isatty() else Lines()
