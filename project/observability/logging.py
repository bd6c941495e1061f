"""The log: Loguru as the only pipeline, for Uvicorn, Gunicorn, warnings and all libraries too.

A log event is a constant; everything else is a bound field. Each record is one line on stdout,
coloured text or flat JSON, and one line of JSON in LOG_FILE, if that is set. Secrets of the
settings are masked, in the text of exceptions too, and tracebacks never show the values of
variables. Logging never raises: a value that cannot be encoded is written as its text, and a
broken stdout is ignored.
"""

import inspect
import json
import logging
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO

from loguru import logger

from project.observability import log_file
from project.observability.context import REQUEST_ID, current_trace
from project.observability.control_characters import CONTROL, CONTROL_IN_LINES
from project.observability.metrics import LOG_MESSAGES
from project.settings import Settings

if TYPE_CHECKING:
    from loguru import Message, Record

_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_QUIET = (
    *("httpx", "httpx2", "urllib3", "PIL", "asyncio", "multipart", "python_multipart", "alembic"),
    "aiosqlite",  # each statement with its values: e-mails, hashes of passwords
    "uvicorn.access",  # request_served says it without the query string
    "uvicorn.websocket",  # stream_served says it likewise; see server/websocket.py
    # They log in signal handlers, which may interrupt a line: Loguru's lock is not re-entrant.
    *("dramatiq.MainProcess", "dramatiq.WorkerProcess(0)"),
)
_SEVERITIES = (("CRITICAL", 50), ("ERROR", 40), ("WARNING", 30), ("INFO", 20))


class InterceptHandler(logging.Handler):
    """Passes records of the standard library to Loguru, with level, caller and traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on; its message is an argument, so that braces in it are harmless."""
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
    """Return the message with its arguments, or both as text where they do not match."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong log call must not fail its caller
        return f"{_text(record.msg)} {_text(record.args)}"


def configure_logging(settings: Settings, *, to_stderr: bool = False) -> None:
    """Send every log line of this process through one sink; call it again after each fork.

    to_stderr: instead of stdout, for commands whose output is their result.
    """
    write = _writer(settings, to_stderr=to_stderr)
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
    """Add the ids of the current request."""
    trace_id, span_id = current_trace()
    extra = record["extra"]
    extra.setdefault("request_id", REQUEST_ID.get())
    extra.setdefault("trace_id", trace_id)
    extra.setdefault("span_id", span_id)


def _plain(_record: "Record") -> str:
    """Have Loguru render the message and the traceback alone."""
    return "{message}\n{exception}"


def _writer(settings: Settings, *, to_stderr: bool) -> Callable[["Message"], None]:
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
        stream = sys.stderr if to_stderr else sys.stdout
        with suppress(OSError, ValueError):  # it has no reader, or is closed
            stream.write(_writable(line, stream) + "\n")
            stream.flush()
        if settings.log_file:
            as_json = line if render is _json else mask(_json(message.record, traceback))
            log_file.append(settings.log_file, as_json)

    return write


def _writable(line: str, stream: TextIO) -> str:
    """Return the line with question marks for what the stream's encoding lacks."""
    if line.isascii():
        return line
    encoding = stream.encoding or "utf-8"
    return line.encode(encoding, "replace").decode(encoding)


def _masked(settings: Settings) -> list[str]:
    """Return the texts to mask: each secret, plain, quoted and escaped; the longest first."""
    plain = {secret for secret in settings.secret_values() if secret}
    quoted = plain | {repr(secret)[1:-1] for secret in plain}
    escaped = {json.dumps(text, ensure_ascii=False)[1:-1] for text in quoted}
    return sorted(quoted | escaped, key=len, reverse=True)


def severity(record: "Record") -> str:
    """Return one of metrics.LEVELS; any other level counts as the next below."""
    return _severity(record["level"].no)


@lru_cache
def _severity(number: int) -> str:
    return next((name for name, lowest in _SEVERITIES if number >= lowest), "DEBUG")


def _traceback(message: "Message") -> str:
    """Return the traceback, which Loguru renders after the message."""
    if message.record["exception"] is None:
        return ""
    return str(message)[len(message.record["message"]) + 1 :].strip()


def fields(record: "Record") -> dict[str, Any]:
    """Return the bound fields of a record, and `logger`: the module that logged it."""
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
    """Return what every line has, then the fields; no field overrides the former."""
    head = {
        "time": record["time"].isoformat(),
        "severity": severity(record),
        "message": message,
    }
    return {**head, **fields(record), **head}


def _encode(line: dict[str, Any]) -> str:
    try:
        text = _STRICT.encode(line)
    except (TypeError, ValueError, RecursionError):  # NaN, odd keys, cycles: written as their text
        plain = {
            name: value if value is None or isinstance(value, str) else _text(value)
            for name, value in line.items()
        }
        text = json.dumps(plain, ensure_ascii=False)
    return text if text.isascii() else text.translate(CONTROL)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the __str__ of a value may raise anything
        return f"<{type(value).__name__}>"


_STRICT = json.JSONEncoder(default=_text, ensure_ascii=False, allow_nan=False)


def _console(record: "Record", traceback: str) -> str:
    """Render time, level, event and the fields that are set; control characters are escaped.

    A traceback follows, indented, so that no text in it can pass for a line of its own.
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
