"""Loguru as the only pipeline: uvicorn, gunicorn, warnings and the standard library go through it.

A log event is a constant; everything else is a bound field. Lines go to stdout, one a record:
coloured text for people, flat JSON for machines. A secret of the settings is masked even where an
exception's text carries it, and tracebacks never show the values of variables.
"""

import inspect
import json
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loguru import logger

from project.observability.context import REQUEST_ID, current_trace
from project.observability.metrics import LEVELS, LOG_MESSAGES
from project.settings import Settings

if TYPE_CHECKING:
    from loguru import Message, Record

_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_QUIET = ("httpx", "httpx2", "urllib3", "PIL", "asyncio", "multipart", "python_multipart")


class InterceptHandler(logging.Handler):
    """Hand records of the standard library to Loguru, keeping level, caller and traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record; its message is passed whole, so stray braces are harmless."""
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        frame, depth = inspect.currentframe(), 0
        while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        bound = logger.bind(source=record.name)
        bound.opt(depth=depth, exception=record.exc_info).log(level, "{}", record.getMessage())


def configure_logging(settings: Settings) -> None:
    """Send every log line of this process through one sink; call again after each fork."""
    write = _writer(settings)
    logger.remove()
    logger.configure(patcher=_patch, extra={})
    logger.add(write, level=settings.log_level, format=_plain, diagnose=False, backtrace=False)
    logging.captureWarnings(capture=True)
    logging.root.handlers = [InterceptHandler()]
    logging.root.setLevel(settings.log_level)
    for name in list(logging.root.manager.loggerDict):
        other = logging.getLogger(name)
        other.handlers, other.propagate = [], True
    for name in _QUIET:
        logging.getLogger(name).setLevel("WARNING")


def _patch(record: "Record") -> None:
    """Add what is true of the request that runs now."""
    trace_id, span_id = current_trace()
    extra = record["extra"]
    extra.setdefault("request_id", REQUEST_ID.get())
    extra.setdefault("trace_id", trace_id)
    extra.setdefault("span_id", span_id)


def _plain(_record: "Record") -> str:
    """Have Loguru render the message and the traceback, nothing more."""
    return "{message}\n{exception}"


def _writer(settings: Settings) -> Callable[["Message"], None]:
    secrets = settings.secrets()
    if settings.log_cloud == "gcp":
        render = _gcp(settings.google_cloud_project)
    else:
        render = _json if settings.log_json else _console

    def write(message: "Message") -> None:
        record = message.record
        name = record["level"].name
        LOG_MESSAGES.labels(name if name in LEVELS else "INFO").inc()
        line = render(record, _traceback(message))
        for secret in secrets:
            line = line.replace(secret, "***")
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return write


def _traceback(message: "Message") -> str:
    """The traceback that Loguru rendered after the message's first newline."""
    if message.record["exception"] is None:
        return ""
    return str(message)[len(message.record["message"]) + 1 :].strip()


def fields(record: "Record") -> dict[str, Any]:
    """The bound fields of a record, and `logger`: who wrote it."""
    extra = dict(record["extra"])
    return {"logger": extra.pop("source", None) or record["name"], **extra}


def _json(record: "Record", traceback: str) -> str:
    line: dict[str, Any] = {
        "time": record["time"].isoformat(),
        "severity": record["level"].name,
        "message": record["message"],
        **fields(record),
    }
    if traceback:
        line["exception"] = traceback
    return json.dumps(line, default=str, ensure_ascii=False)


def _gcp(project: str | None) -> Callable[["Record", str], str]:
    """Name the fields as Cloud Logging reads them (its page "Structured logging")."""

    def render(record: "Record", traceback: str) -> str:
        values = fields(record)
        trace_id = values["trace_id"]
        line: dict[str, Any] = {
            "time": record["time"].isoformat(),
            "severity": record["level"].name,
            "message": "\n".join(filter(None, [record["message"], traceback])),
            **values,
        }
        if trace_id:
            name = f"projects/{project}/traces/{trace_id}" if project else trace_id
            line["logging.googleapis.com/trace"] = name
            line["logging.googleapis.com/spanId"] = values["span_id"]
        return json.dumps(line, default=str, ensure_ascii=False)

    return render


def _console(record: "Record", traceback: str) -> str:
    """Time, level, event, then the fields that say something; control characters are escaped."""
    values = fields(record)
    source = values.pop("logger")
    values.pop("span_id")
    shown = " ".join(f"{key}={value}" for key, value in values.items() if value is not None)
    level = record["level"].name
    colour = _COLOURS.get(level, "32")
    text = f"{record['time']:%H:%M:%S.%f}"[:-3]
    body = f"{record['message']}  {shown}".translate(_CONTROL)
    if sys.stdout.isatty():
        level, source = f"\x1b[{colour}m{level:8}\x1b[0m", f"\x1b[2m{source}\x1b[0m"
    else:
        level = f"{level:8}"
    return "\n".join(filter(None, [f"{text} {level} {body} {source}", traceback]))


_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
