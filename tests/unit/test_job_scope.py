"""What stands on the lines, the spans and the reports of a job: the ids of its request."""

import pytest
from loguru import logger
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from project.observability.context import REQUEST_ID, current_trace
from project.observability.job_scope import job_scope

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
JOB = {
    "job_id": "a" * 32,
    "model": "turn",
    "attempt": 2,
    "request_id": "request-1",
    "traceparent": f"00-{TRACE}-{CALLER}-01",
    "user_id": "b" * 32,
}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


@pytest.fixture
def lines():
    """The extra fields of each line that is logged."""
    seen: list[dict[str, object]] = []
    number = logger.add(lambda message: seen.append(dict(message.record["extra"])))
    yield seen
    logger.remove(number)


def test_a_job_s_span_is_a_child_of_the_request_that_sent_it(provider, spans):
    """One trace from the caller to the worker, with the job and the attempt on the span."""
    with job_scope(provider, **JOB):
        assert current_trace()[0] == TRACE
    (span,) = spans.get_finished_spans()
    assert (span.name, f"{span.parent.span_id:016x}") == ("job turn", CALLER)
    assert dict(span.attributes) == {"job.id": JOB["job_id"], "job.attempt": 2}


def test_without_a_collector_the_log_has_the_trace_all_the_same():
    """Nothing is recorded of it."""
    with job_scope(None, **JOB):
        assert current_trace()[0] == TRACE
    assert current_trace() == (None, None)


def test_lines_name_the_job_and_the_request_only_while_it_runs(lines):
    """What the worker logs between two jobs belongs to none."""
    with job_scope(None, **JOB):
        assert REQUEST_ID.get() == "request-1"
        logger.info("inside")
    logger.info("outside")
    assert REQUEST_ID.get() is None
    inside, outside = lines
    assert {"job_id", "model", "attempt"} <= set(inside)
    assert inside["user_id"] == JOB["user_id"]
    assert not {"job_id", "user_id"} & set(outside)


def test_a_job_without_a_trace_gets_one_of_its_own(provider, spans):
    """A row of another release, or of a caller who sent nonsense."""
    for traceparent in (None, "nonsense"):
        with job_scope(provider, **JOB | {"traceparent": traceparent, "request_id": None}):
            assert current_trace()[0] not in {None, TRACE}
    assert [span.parent for span in spans.get_finished_spans()] == [None, None]


def test_a_run_that_fails_ends_its_span_with_the_error(provider, spans):
    """The scope lets the error through."""
    with pytest.raises(RuntimeError, match="broken"), job_scope(provider, **JOB):
        raise RuntimeError("broken")
    (span,) = spans.get_finished_spans()
    assert not span.status.is_ok
    assert REQUEST_ID.get() is None
