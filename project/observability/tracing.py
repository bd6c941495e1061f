"""Traces: every request has a W3C trace id; spans leave the process where a collector is named.

FastAPI makes the server span itself once a tracer provider is set. With no collector the sampler
says no to all: a span then costs next to nothing and still carries a valid trace id for the logs.
"""

from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

from project import __version__
from project.observability.metrics import TELEMETRY_DROPPED
from project.settings import Settings


class CountingExporter(SpanExporter):
    """Counts the spans that the exporter behind it could not deliver."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export; a failure is counted and reported on, never raised."""
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            TELEMETRY_DROPPED.labels("traces").inc(len(spans))
        return result

    def shutdown(self) -> None:
        """Close the exporter behind."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter behind."""
        return self._inner.force_flush(timeout_millis)


def make_provider(settings: Settings) -> TracerProvider:
    """A tracer provider for these settings; shut it down to flush it."""
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    resource = Resource.create(
        {
            "service.name": settings.otel_service_name,
            "service.version": __version__,
            "deployment.environment.name": settings.environment,
        }
    )
    sampler = ParentBased(TraceIdRatioBased(settings.otel_traces_sampler_arg))
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    secret = settings.otel_exporter_otlp_headers
    pairs = (secret.get_secret_value() if secret else "").split(",")
    headers = dict(pair.strip().split("=", 1) for pair in pairs if "=" in pair)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", headers=headers)
    provider.add_span_processor(BatchSpanProcessor(CountingExporter(exporter)))
    return provider


def configure_tracing(settings: Settings) -> TracerProvider:
    """Set the process's tracer provider; call after the fork, once."""
    provider = make_provider(settings)
    trace.set_tracer_provider(provider)
    return provider
