"""What every log line, problem document and error report says of the request it belongs to."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import context, trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

_IDS = RandomIdGenerator()
_PROPAGATOR = TraceContextTextMapPropagator()
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


def accept_request_id(value: str | None) -> str:
    """Take the caller's X-Request-ID where it is harmless in logs and headers, else make one."""
    if value and _WELL_FORMED.fullmatch(value):
        return value
    return uuid.uuid4().hex


def trace_of(traceparent: str | None) -> int:
    """The id of the caller's trace, where he sent a valid one (W3C Trace Context), or a new one."""
    sent = trace.get_current_span(caller_of(traceparent)).get_span_context()
    return sent.trace_id if sent.is_valid else _IDS.generate_trace_id()


def caller_of(traceparent: str | None) -> context.Context:
    """The context of who sent a traceparent; an empty one where it is none."""
    sent = {"traceparent": traceparent} if traceparent else {}
    return _PROPAGATOR.extract(sent, context.Context())


@contextmanager
def traced(traceparent: str | None) -> Iterator[None]:
    """Have ids for what is logged, where no tracer has made a span: nothing is recorded of it."""
    if trace.get_current_span().get_span_context().is_valid:
        yield
        return
    ids = SpanContext(trace_of(traceparent), _IDS.generate_span_id(), is_remote=False)
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(ids)))
    try:
        yield
    finally:
        context.detach(token)


def current_trace() -> tuple[str | None, str | None]:
    """The W3C trace id (32 hex digits) and span id (16) of what runs now, or None twice."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None, None
    return format(span.trace_id, "032x"), format(span.span_id, "016x")


def current_traceparent() -> str | None:
    """What hands the trace of what runs now on to others (W3C Trace Context), if there is one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")
