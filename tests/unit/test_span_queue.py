"""The queue of spans before the exporter: what it loses is counted, span by span."""

import threading

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from drills.waiting import wait_until
from project.observability.tracing import CountingExporter, SpanQueue
from tests.samples import sample


def dropped():
    return sample("telemetry_dropped_total", signal="traces")


class HeldExporter(SpanExporter):
    """Exports nothing until it may."""

    def __init__(self):
        self.entered = threading.Event()
        self.may = threading.Event()
        self.exported = 0

    def export(self, spans):
        self.entered.set()
        self.may.wait()
        self.exported += len(spans)
        return SpanExportResult.SUCCESS


def test_no_span_is_lost_without_being_counted():
    """A queue that overflows loses spans before any exporter could say so."""
    before = dropped()
    exporter = HeldExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(
        SpanQueue(CountingExporter(exporter), max_queue_size=4, max_export_batch_size=4)
    )
    tracer = provider.get_tracer("test")
    for _ in range(4):
        tracer.start_span("work").end()
    exporter.entered.wait()
    for _ in range(16):
        tracer.start_span("work").end()
    assert dropped() - before == 12
    exporter.may.set()
    provider.shutdown()
    assert dropped() - before + exporter.exported == 20


def test_spans_that_the_end_has_no_time_for_are_counted():
    """A shutdown that is cut short says what it left behind."""
    before = dropped()
    exporter = HeldExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(
        SpanQueue(CountingExporter(exporter), max_queue_size=8, max_export_batch_size=2)
    )
    for _ in range(6):
        provider.get_tracer("test").start_span("work").end()
    provider.shutdown()
    left = dropped() - before
    exporter.may.set()
    wait_until(lambda: exporter.exported > 0, "the batch in hand is exported")
    assert left > 0
    assert left + exporter.exported == 6


def test_an_exporter_that_raises_is_counted_as_one_that_fails():
    """The caller gets the error; the count stays true."""

    class Broken(SpanExporter):
        def export(self, spans):
            raise OSError("broken inside")

    before = dropped()
    with pytest.raises(OSError, match="broken inside"):
        CountingExporter(Broken()).export([None, None])
    assert dropped() - before == 2
