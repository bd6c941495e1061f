"""Tracing: every request has a W3C trace id; spans are exported where a collector is configured.

FastAPI makes the server span itself where it has a tracer provider. Without a collector there is
no provider, as spans cost the same where none are exported; the ids for the log then come from
context.py. Probes and scrapes have ids as well, but are never exported. Of a
URL the template of its route is, as `http.route`, and nothing that the client chooses.
"""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from project import __version__
from project.observability.metrics import TELEMETRY_DROPPED
from project.observability.request_context import QUIET
from project.settings import Settings

FLUSH_SECONDS = 2.0
REDACTED = frozenset({"url.path", "url.query"})


class WithoutProbes(Sampler):
    """Drops probes and scrapes, and leaves all else to the wrapped sampler."""

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide by the path of the request; the spans inside a request follow its span."""
        quiet = attributes is not None and attributes.get("url.path") in QUIET
        return (ALWAYS_OFF if quiet else self._inner).should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Return what the SDK shows of it."""
        return f"WithoutProbes{{{self._inner.get_description()}}}"


class SpanQueue(BatchSpanProcessor):
    """Exports spans in batches; counts those that it drops, for lack of space or time."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Redact path and query string, which FastAPI adds: a client may put a key there."""
        super().on_start(span, parent_context)
        for name in REDACTED & (span.attributes or {}).keys():
            span.set_attribute(name, "REDACTED")

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span; a full queue drops its oldest one."""
        queue = self._batch_processor._queue  # noqa: SLF001 - the SDK has no other way to see it
        if span.context.trace_flags.sampled and len(queue) == queue.maxlen:
            TELEMETRY_DROPPED.labels("traces").inc()
        super().on_end(span)

    def shutdown(self) -> None:
        """Export what is queued, for as long as a shutdown may take; count the rest as dropped."""
        self._batch_processor.shutdown(timeout_millis=round(FLUSH_SECONDS * 1000))
        TELEMETRY_DROPPED.labels("traces").inc(len(self._batch_processor._queue))  # noqa: SLF001


class CountingExporter(SpanExporter):
    """Counts the spans that the wrapped exporter could not deliver."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, and count a failure, whether it is returned or raised."""
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                TELEMETRY_DROPPED.labels("traces").inc(len(spans))
        return result

    def shutdown(self) -> None:
        """Shut the wrapped exporter down."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped exporter."""
        return self._inner.force_flush(timeout_millis)


def make_provider(settings: Settings) -> TracerProvider | None:
    """Return a tracer provider, where there is a collector; shut it down to flush it."""
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return None
    resource = Resource.create(
        {
            "service.name": settings.otel_service_name,
            "service.version": __version__,
            "deployment.environment.name": settings.environment,
        }
    )
    sampler = WithoutProbes(ParentBased(TraceIdRatioBased(settings.otel_traces_sampler_arg)))
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - slow
        OTLPSpanExporter,
    )

    exporter = OTLPSpanExporter(
        endpoint=f"{endpoint.rstrip('/')}/v1/traces", headers=settings.otlp_headers
    )
    provider.add_span_processor(SpanQueue(CountingExporter(exporter)))
    return provider
