"""What every log line, problem document and error report says of the request it belongs to."""

import re
import uuid
from contextvars import ContextVar

from opentelemetry import trace

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


def accept_request_id(value: str | None) -> str:
    """Take the caller's X-Request-ID where it is harmless in logs and headers, else make one."""
    if value and _WELL_FORMED.fullmatch(value):
        return value
    return uuid.uuid4().hex


def current_trace() -> tuple[str | None, str | None]:
    """The W3C trace id (32 hex digits) and span id (16) of what runs now, or None twice."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None, None
    return format(span.trace_id, "032x"), format(span.span_id, "016x")
