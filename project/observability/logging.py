"""Loguru as the only pipeline: uvicorn, gunicorn, warnings and the standard library go through it.

A log event is a constant; everything else is a bound field. Lines go to stdout, one a record:
coloured text for people, flat JSON for machines; and as such JSON to LOG_FILE, if it is set. A
secret of the settings is masked even where an exception's text carries it, and tracebacks never
show the values of variables. Logging never raises: what cannot be encoded is written as its text,
and a broken stdout is left alone.
"""

import inspect
import json
import logging
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from loguru import logger

from project.observability import log_file
from project.observability.context import REQUEST_ID, current_trace
from project.observability.control import CONTROL, CONTROL_IN_LINES
from project.observability.metrics import LOG_MESSAGES
from project.settings import Settings

if TYPE_CHECKING:
    from loguru import Message, Record

_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_QUIET = (
    *("httpx", "httpx2", "urllib3", "PIL", "asyncio", "multipart", "python_multipart", "alembic"),
    "uvicorn.access",  # request_served says it without the query string
)
_SEVERITIES = (("CRITICAL", 50), ("ERROR", 40), ("WARNING", 30), ("INFO", 20))


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
        error = record.exc_info if record.exc_info and record.exc_info[0] else None

        def rename(made: "Record") -> None:
            made["name"] = record.name

        logger.patch(rename).opt(depth=depth, exception=error).log(level, "{}", _message(record))


def _message(record: logging.LogRecord) -> str:
    """The message with its arguments, or as it stands where they do not fit it."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong log call must not fail what it reports on
        return f"{_text(record.msg)} {_text(record.args)}"


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
    masked = _masked(settings)
    if settings.log_cloud == "gcp":
        render = _gcp(settings.google_cloud_project)
    else:
        render = _json if settings.log_json else _console

    def mask(line: str) -> str:
        for secret in masked:
            line = line.replace(secret, "***")
        return line

    def write(message: "Message") -> None:
        LOG_MESSAGES.labels(severity(message.record)).inc()
        traceback = _traceback(message)
        line = mask(render(message.record, traceback))
        with suppress(OSError, ValueError):  # nobody reads, or stdout is closed
            sys.stdout.write(_writable(line) + "\n")
            sys.stdout.flush()
        if settings.log_file:
            as_json = line if render is _json else mask(_json(message.record, traceback))
            log_file.append(settings.log_file, as_json)

    return write


def _writable(line: str) -> str:
    """The line, with question marks for what stdout's encoding lacks."""
    if line.isascii():
        return line
    encoding = sys.stdout.encoding or "utf-8"
    return line.encode(encoding, "replace").decode(encoding)


def _masked(settings: Settings) -> list[str]:
    """What to mask: each secret as it is, and as it looks when quoted or escaped; longest first."""
    plain = {secret for secret in settings.secret_values() if secret}
    quoted = plain | {repr(secret)[1:-1] for secret in plain}
    escaped = {json.dumps(text, ensure_ascii=False)[1:-1] for text in quoted}
    return sorted(quoted | escaped, key=len, reverse=True)


def severity(record: "Record") -> str:
    """One of metrics.LEVELS: levels of Loguru's or a library's own count as the next below."""
    return _severity(record["level"].no)


@lru_cache
def _severity(number: int) -> str:
    return next((name for name, least in _SEVERITIES if number >= least), "DEBUG")


def _traceback(message: "Message") -> str:
    """The traceback that Loguru rendered after the message's first newline."""
    if message.record["exception"] is None:
        return ""
    return str(message)[len(message.record["message"]) + 1 :].strip()


def fields(record: "Record") -> dict[str, Any]:
    """The bound fields of a record, and `logger`: who wrote it."""
    return {**record["extra"], "logger": record["name"]}


def _json(record: "Record", traceback: str) -> str:
    line = _head(record, record["message"])
    return _encode(line | {"exception": traceback} if traceback else line)


def _gcp(project: str | None) -> Callable[["Record", str], str]:
    """Name the fields as Cloud Logging reads them (its page "Structured logging")."""

    def render(record: "Record", traceback: str) -> str:
        line = _head(record, "\n".join(filter(None, [record["message"], traceback])))
        trace_id = line["trace_id"]
        if trace_id:
            name = f"projects/{project}/traces/{trace_id}" if project else trace_id
            line["logging.googleapis.com/trace"] = name
            line["logging.googleapis.com/spanId"] = line["span_id"]
        return _encode(line)

    return render


def _head(record: "Record", message: str) -> dict[str, Any]:
    """What every line says, then the fields; a field cannot take the place of the former."""
    head = {
        "time": record["time"].isoformat(),
        "severity": severity(record),
        "message": message,
    }
    return {**head, **fields(record), **head}


def _encode(line: dict[str, Any]) -> str:
    try:
        text = _STRICT.encode(line)
    except (TypeError, ValueError, RecursionError):  # NaN, odd keys, circles: their text will do
        plain = {
            name: value if value is None or isinstance(value, str) else _text(value)
            for name, value in line.items()
        }
        text = json.dumps(plain, ensure_ascii=False)
    return text if text.isascii() else text.translate(CONTROL)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - another's __str__ may raise anything
        return f"<{type(value).__name__}>"


_STRICT = json.JSONEncoder(default=_text, ensure_ascii=False, allow_nan=False)


def _console(record: "Record", traceback: str) -> str:
    """Time, level, event, then the fields that say something; control characters are escaped.

    A traceback follows, set in, so that no text in it can pass for a line of its own.
    """
    values = fields(record)
    source = _text(values.pop("logger")).translate(CONTROL)
    values.pop("span_id")
    shown = " ".join(f"{key}={_text(value)}" for key, value in values.items() if value is not None)
    level = severity(record)
    colour = _COLOURS.get(level, "32")
    text = f"{record['time']:%H:%M:%S.%f}"[:-3]
    body = f"{record['message']}  {shown}".translate(CONTROL)
    if sys.stdout.isatty():
        level, source = f"\x1b[{colour}m{level:8}\x1b[0m", f"\x1b[2m{source}\x1b[0m"
    else:
        level = f"{level:8}"
    below = textwrap.indent(traceback.translate(CONTROL_IN_LINES), "    ", lambda _line: True)
    return "\n".join(filter(None, [f"{text} {level} {body} {source}", below]))
