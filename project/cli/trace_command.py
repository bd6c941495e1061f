"""`trace`: prints the log records of one request, trace or job."""

import json
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from project.cli import log_search
from project.cli.output import fail, plain, plain_lines
from project.errors import ConfigurationError
from project.settings.loading import load_settings

DEFAULT_LOG = Path("var/log/vitrine.jsonl")  # of `make run`
STDIN = Path("-")
COLOURS = {"DEBUG": "bright_black", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bright_red"}


def trace(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Id of a request, a trace or a job.")],
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", help="A log of JSON lines, - for stdin; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> None:
    """Print the story of one id from the log: the request, its job and the worker.

    Reads LOG_FILE, or var/log/vitrine.jsonl, which `make run` writes, and its rotated predecessor.
    """
    with ExitStack() as stack:
        try:
            paths = file or _default_files()
            records = log_search.find([_open(path, stack) for path in paths], wanted.strip())
        except OSError as error:
            fail(ConfigurationError(f"cannot read {error.filename or 'the log'}: {error.strerror}"))
        except ConfigurationError as error:
            fail(error)
    if not records:
        where = ", ".join(map(str, paths))
        fail(ConfigurationError(f"nothing in {where} about {wanted.strip()}"))
    for line in map(json.dumps, records) if as_json else render(records):
        typer.echo(line)


def _default_files() -> list[Path]:
    """The log files of this machine, oldest first. Raises ConfigurationError if there is none."""
    from project.observability.log_file import rotated  # noqa: PLC0415 - imports the metrics

    path = load_settings().log_file or DEFAULT_LOG
    found = [item for item in (rotated(path), path) if item.exists()]
    if not found:
        raise ConfigurationError(
            f"there is no log at {path}: `make run` writes one, LOG_FILE sets its path; "
            "or name one with --file"
        )
    return found


def _open(path: Path, stack: ExitStack) -> BinaryIO:
    """Open a log as a seekable file; a pipe is copied to a temporary one."""
    stream = sys.stdin.buffer if path == STDIN else stack.enter_context(path.open("rb"))
    if stream.seekable():
        return stream
    temporary = tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
    copy = cast("BinaryIO", stack.enter_context(temporary))
    shutil.copyfileobj(stream, copy)
    return copy


def render(records: Sequence[log_search.Record]) -> list[str]:
    """A story as text: a header with the ids, then a line for each record."""
    lines = log_search.lines_of(records)
    days = {line.time.date() for line in lines if line.time}
    stamp = "%H:%M:%S.%f" if len(days) < 2 else "%Y-%m-%d %H:%M:%S.%f"  # noqa: PLR2004
    width = max(len(line.process) for line in lines)
    return [_heading(records, lines), *(_render_line(line, stamp, width) for line in lines)]


def _heading(records: Sequence[log_search.Record], lines: Sequence[log_search.Line]) -> str:
    parts = []
    for name in log_search.IDS:
        ids = log_search.ids_named(records, name)
        if ids:
            more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
            parts.append(f"{name}={plain(ids[0])}{more}")
    times = [line.time for line in lines if line.time]
    if times:
        parts.append(f"from {times[0]:%Y-%m-%d %H:%M:%S}")
    return typer.style("  ".join(parts), dim=True)


def _render_line(line: log_search.Line, stamp: str, width: int) -> str:
    time = line.time.strftime(stamp)[:-3] if line.time else ""
    since = "" if line.seconds is None else f"+{line.seconds:.3f}"
    head = f"{time:12} {since:>9}  {plain(line.process):{width}}"
    level = typer.style(f"{plain(line.severity):8}", fg=COLOURS.get(line.severity, "green"))
    fields = plain(" ".join(f"{name}={value}" for name, value in line.fields.items()))
    text = f"{head}  {level} {typer.style(plain(line.event), bold=True)}  {fields}".rstrip()
    below = plain_lines(line.exception.strip())
    return "\n".join(filter(None, [text, textwrap.indent(below, "    ", lambda _: True)]))
