"""Request ids and trace ids, which every log line, problem document and error report carries."""

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
    """Return the client's X-Request-ID where it is safe in logs and headers, else a new id."""
    if value and _WELL_FORMED.fullmatch(value):
        return value
    return uuid.uuid4().hex


def trace_id_for(traceparent: str | None) -> int:
    """Return the trace id of a valid traceparent (W3C Trace Context), else a new one, as int."""
    remote = trace.get_current_span(remote_context(traceparent)).get_span_context()
    return remote.trace_id if remote.is_valid else _IDS.generate_trace_id()


def remote_context(traceparent: str | None) -> context.Context:
    """Return the context that a traceparent describes; an empty one where it is invalid."""
    carrier = {"traceparent": traceparent} if traceparent else {}
    return _PROPAGATOR.extract(carrier, context.Context())


@contextmanager
def traced(traceparent: str | None) -> Iterator[None]:
    """Provide ids for the log where no tracer has started a span; nothing is recorded."""
    if trace.get_current_span().get_span_context().is_valid:
        yield
        return
    ids = SpanContext(trace_id_for(traceparent), _IDS.generate_span_id(), is_remote=False)
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(ids)))
    try:
        yield
    finally:
        context.detach(token)


def current_trace() -> tuple[str | None, str | None]:
    """Return the current trace id (32 hex digits) and span id (16), or None twice."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None, None
    return format(span.trace_id, "032x"), format(span.span_id, "016x")


def current_traceparent() -> str | None:
    """Return the traceparent of the current span (W3C Trace Context), if there is one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")
