"""Ids: whatever a caller sends, what we keep is harmless in a header, a line and a terminal."""

import re

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from project.observability.context import accept_request_id, current_trace, trace_id_for, traced

HARMLESS = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_whatever_is_sent_the_id_is_harmless(value):
    """Kept as it is or replaced, never mended: half an id would match the wrong line."""
    accepted = accept_request_id(value)
    assert HARMLESS.fullmatch(accepted)
    assert accepted == value or re.fullmatch(r"[0-9a-f]{32}", accepted)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}", fullmatch=True))
def test_an_id_as_gateways_make_them_is_kept(value):
    """UUIDs, ULIDs, X-Ray roots and base64 all pass."""
    assert accept_request_id(value) == value


def test_without_an_id_each_request_has_a_new_one():
    """None and an empty header are no ids."""
    assert len({accept_request_id(None), accept_request_id(None), accept_request_id("")}) == 3


def test_without_a_span_there_is_no_trace():
    """A line outside of any request says so, rather than a row of zeros."""
    assert current_trace() == (None, None)


def test_a_span_that_is_not_sampled_has_ids_all_the_same():
    """The ids are what logs and problem documents need; export is another matter."""
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("work"):
        trace_id, span_id = current_trace()
    assert re.fullmatch(r"[0-9a-f]{32}", trace_id)
    assert re.fullmatch(r"[0-9a-f]{16}", span_id)


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_without_a_span_there_are_ids_all_the_same():
    """New ones for each request, and none once it is over."""
    seen = set()
    for _ in range(3):
        with traced(None):
            trace_id, span_id = current_trace()
        assert re.fullmatch(r"[0-9a-f]{32}", trace_id or "")
        assert re.fullmatch(r"[0-9a-f]{16}", span_id or "")
        seen |= {trace_id, span_id}
    assert len(seen) == 6
    assert current_trace() == (None, None)


def test_the_callers_trace_is_continued_with_a_span_of_ours():
    """As a tracer would."""
    with traced(f"00-{TRACE}-{SPAN}-01"):
        trace_id, span_id = current_trace()
    assert trace_id == TRACE
    assert span_id not in {SPAN, None}


def test_a_span_that_a_tracer_made_is_left_alone():
    """Its ids are those that the collector knows."""
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("work"):
        before = current_trace()
        with traced(f"00-{TRACE}-{SPAN}-01"):
            assert current_trace() == before


@given(st.text())
def test_whatever_comes_as_a_traceparent_the_id_is_a_valid_one(value):
    """Never zero, never longer than 128 bits."""
    assert 0 < trace_id_for(value) < 1 << 128
