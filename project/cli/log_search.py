"""The story of one id: every log record that belongs to it, in order of time.

A record belongs to it if it has the id as its request, trace or job; or an id that is on the same
record as one of those, transitively. The log is read twice, line by line: once to find the ids,
once to collect. Only the ids of records about jobs are held in memory in between, as jobs are what
connects one request with another.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

Record = dict[str, Any]

IDS = ("request_id", "trace_id", "job_id")
MAX_LINE_BYTES = 16 * 2**20  # a longer line is not ours
RECORD_START = '{"time": '  # of a record behind a torn line, after a full disk
PROCESSES = {  # kind of process → what its loggers begin with
    "worker": ("project.jobs", "project.worker", "dramatiq"),
    "api": (
        "project.api",
        "project.server",
        "project.observability.request_context",
        "uvicorn",
        "gunicorn",
    ),
}
_HEAD = {"time", "severity", "message", "exception", "logger", "span_id", "pid", "process"}


@dataclass(frozen=True)
class Line:
    """A line of a story. seconds: since its start; None where the record has no time."""

    time: datetime | None
    seconds: float | None
    process: str
    severity: str
    event: str
    fields: dict[str, str]
    exception: str


def find(files: Sequence[BinaryIO], wanted: str) -> list[Record]:
    """The records that belong to an id, in order of time. files: seekable."""
    known = {wanted}
    about_jobs: set[frozenset[str]] = set()
    for record in _read(files):
        ids = ids_of(record)
        if record.get("job_id"):
            about_jobs.add(ids)
        if not known.isdisjoint(ids):
            known |= ids
    _connect(known, about_jobs)
    found = []
    for record in _read(files):
        ids = ids_of(record)
        if not known.isdisjoint(ids):
            known |= ids
            found.append(record)
    return _in_order(found)


def ids_of(record: Record) -> frozenset[str]:
    """The ids of a record."""
    values = (record.get(name) for name in IDS)
    return frozenset(value for value in values if isinstance(value, str) and value)


def _connect(known: set[str], groups: Iterable[frozenset[str]]) -> None:
    """Add the ids of every group that shares one with `known`, until none does."""
    rest = list(groups)
    while touching := [group for group in rest if not known.isdisjoint(group)]:
        rest = [group for group in rest if known.isdisjoint(group)]
        known.update(*touching)


def _read(files: Sequence[BinaryIO]) -> Iterator[Record]:
    for file in files:
        file.seek(0)
        for line in _lines(file):
            record = parse(line)
            if record is not None:
                yield record


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines within the maximum length; longer ones are skipped without being held in memory."""
    whole = True
    while line := file.readline(MAX_LINE_BYTES):
        ends = line.endswith(b"\n") or len(line) < MAX_LINE_BYTES
        if whole and ends:
            yield line
        whole = ends


def parse(line: bytes) -> Record | None:
    """The record on a line, after a prefix such as `web.1 |`; None where there is none."""
    text = line.decode("utf-8", "replace")
    for start in (text.find("{"), text.rfind(RECORD_START)):
        if start < 0:
            continue
        try:
            record = json.loads(text[start:])
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            return record
    return None


def _in_order(records: Sequence[Record]) -> list[Record]:
    """Sort by time; a record without one stays behind its predecessor."""
    last = datetime.min.replace(tzinfo=UTC)
    keyed = []
    for record in records:
        last = time_of(record) or last
        keyed.append((last, record))
    return [record for _, record in sorted(keyed, key=lambda pair: pair[0])]


def time_of(record: Record) -> datetime | None:
    """When a record was written, in local time."""
    try:
        return datetime.fromisoformat(record["time"]).astimezone()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def lines_of(records: Sequence[Record]) -> list[Line]:
    """The records as lines; an id that is the same on all is left out of each."""
    times = [time_of(record) for record in records]
    start = next((time for time in times if time), None)
    hidden = _HEAD | {name for name in IDS if len(ids_named(records, name)) < 2}  # noqa: PLR2004
    return [_line(record, time, start, hidden) for record, time in zip(records, times, strict=True)]


def ids_named(records: Iterable[Record], name: str) -> list[str]:
    """The ids of one kind, in order of appearance."""
    values = (record.get(name) for record in records)
    return list(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def _line(record: Record, time: datetime | None, start: datetime | None, hidden: set[str]) -> Line:
    event, _, below = _text(record, "message").partition("\n")  # gcp has the traceback there
    return Line(
        time=time,
        seconds=(time - start).total_seconds() if time and start else None,
        process=process_of(record),
        severity=_text(record, "severity"),
        event=event,
        fields={
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in record.items()
            if value is not None and name not in hidden and not name.startswith("logging.google")
        },
        exception="\n".join(filter(None, [below, _text(record, "exception")])),
    )


def process_of(record: Record) -> str:
    """The process that wrote it: api or worker, by its logger, and the process id if known."""
    logger = _text(record, "logger")
    names = (name for name, prefixes in PROCESSES.items() if logger.startswith(prefixes))
    name = next(names, "")
    return " ".join(filter(None, [_text(record, "process") or name, _text(record, "pid")]))


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    return "" if value is None else str(value)
