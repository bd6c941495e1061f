"""Jobs as text: a table of many, and the details of one."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from project.cli.connection import problem_line
from project.cli.following import View
from project.cli.output import plain

COLUMNS = ("id", "model", "status", "done", "created", "took")
WIDTH = 12
GAP = "  "


def table(jobs: Sequence[View]) -> Iterator[str]:
    """A header and a line for each job, in aligned columns."""
    rows = [COLUMNS, *(_row(job) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        yield GAP.join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(job: View) -> tuple[str, ...]:
    cells = (
        job.get("id"),
        job.get("model"),
        status_of(job),
        f"{progress_of(job):.0%}",
        local(job.get("created_at")),
        _seconds(between(job, "created_at", "finished_at")),
    )
    return tuple(plain(str(cell or "")) for cell in cells)


def status_of(job: View) -> str:
    """The status, and whether cancellation was requested."""
    asked = job.get("cancel_requested") and job.get("status") == "running"
    return f"{job.get('status')}{', to be cancelled' if asked else ''}"


def progress_of(job: View) -> float:
    """Progress, 0 to 1."""
    share = job.get("progress")
    return min(1.0, max(0.0, share)) if isinstance(share, int | float) else 0.0


def details(job: View) -> Iterator[str]:
    """Everything that is known of a job, one line each."""
    facts = {
        "id": job.get("id"),
        "model": " ".join(str(job[name]) for name in ("model", "model_version") if job.get(name)),
        "status": f"{status_of(job)}, {progress_of(job):.0%} done, runs: {job.get('attempts')}",
        "created": local(job.get("created_at")),
        "started": _after(job, "created_at", "started_at"),
        "finished": _after(job, "started_at", "finished_at"),
        "runs again": local(job.get("retry_at")),
        "parameters": _pairs(job.get("params")),
        "seconds": _pairs(job.get("seconds")),
        "problem": _problem(job.get("problem")),
        "inputs": _inputs(job.get("inputs")),
        "result": _file(job.get("result")),
        "request_id": job.get("request_id"),
        "trace_id": job.get("trace_id"),
    }
    for name, value in facts.items():
        if value:
            yield plain(f"{name:{WIDTH}}{value}")


def local(time: object) -> str:
    """A timestamp of the API in local time, to the second; unchanged where it cannot be parsed."""
    found = _parsed(time)
    return f"{found:%Y-%m-%d %H:%M:%S}" if found else str(time or "")


def between(job: View, start: str, end: str) -> float | None:
    """Seconds between two timestamps of a job, where it has both."""
    first, last = _parsed(job.get(start)), _parsed(job.get(end))
    return (last - first).total_seconds() if first and last else None


def _parsed(time: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(time)).astimezone()
    except (ValueError, OverflowError):
        return None


def _after(job: View, start: str, end: str) -> str:
    seconds = _seconds(between(job, start, end))
    return local(job.get(end)) + (f", {seconds} later" if seconds else "")


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _pairs(values: object) -> str:
    if not isinstance(values, dict):
        return ""
    return GAP.join(f"{name}={_text(value)}" for name, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _problem(problem: Any) -> str:
    return problem_line(problem) if isinstance(problem, dict) else ""


def _inputs(inputs: object) -> str:
    if not isinstance(inputs, list):
        return ""
    files = [item for item in inputs if isinstance(item, dict)]
    return "; ".join(f"{item.get('name')}: {_file(item)}" for item in files)


def _file(file: Any) -> str:
    if not isinstance(file, dict):
        return ""
    return f"{file.get('media_type')}, {file.get('size')} bytes, at {file.get('url')}"
