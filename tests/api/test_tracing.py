"""Traces: ids in every answer and line, spans at the collector, and no harm where there is none."""

import json
import re
import threading
import time

import pytest
from starlette.testclient import TestClient

from drills.waiting import wait_until
from project.api.factory import create_app
from tests.collectors import attributes, collecting, unreachable
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel
from tests.samples import sample

PATH = "/v1/models/shade/predictions"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
SENT_QUERY = "?threshold=5&token=marker-in-query"


def serve(model=None, **changes):
    """A client for an application with a fake model and these settings."""
    app = create_app(make_settings(log_format="json", **changes), [model or ShadeModel()])
    return TestClient(app, raise_server_exceptions=False)


def predict(client, query="", **headers):
    return client.post(PATH + query, files={"image": picture()}, headers=headers)


def access_lines(capsys):
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["message"] == "request_served"]


def dropped():
    return sample("telemetry_dropped_total", signal="traces")


def server_spans(collector):
    return [span for span in collector.spans() if span.kind == span.SPAN_KIND_SERVER]


def test_without_a_collector_the_answer_and_the_log_share_a_valid_trace_id(capsys):
    """A trace id costs no backend, and leads from the caller's error to our log."""
    with serve() as client:
        answer = client.get("/nothing-here")
    trace_id = answer.json()["trace_id"]
    assert re.fullmatch(r"[0-9a-f]{32}", trace_id)
    assert int(trace_id, 16) != 0
    (line,) = access_lines(capsys)
    assert line["trace_id"] == trace_id
    assert re.fullmatch(r"[0-9a-f]{16}", line["span_id"])


def test_two_requests_have_two_trace_ids():
    """Else every line would lead to every request."""
    with serve() as client:
        ids = {client.get("/nothing-here").json()["trace_id"] for _ in range(3)}
    assert len(ids) == 3


def test_the_callers_trace_is_continued():
    """A gateway's traceparent leads through to our answer."""
    with serve() as client:
        assert client.get("/nothing-here", headers=PARENT).json()["trace_id"] == TRACE


@pytest.mark.parametrize(
    "value",
    [
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331",
        "nonsense",
        "",
        "9" * 5000,
    ],
)
def test_an_invalid_traceparent_is_ignored(value):
    """The request gets an id of its own and is served."""
    with serve() as client:
        answer = client.get("/nothing-here", headers={"traceparent": value})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.json()["trace_id"])
    assert answer.json()["trace_id"] != TRACE


def test_spans_reach_the_collector_before_the_lifespan_has_ended(capsys):
    """Service, route, status and the log line's trace id: what a person needs to find the rest."""
    with collecting() as collector:
        with serve(
            otel_exporter_otlp_endpoint=collector.url + "/",
            otel_exporter_otlp_headers="x-tenant=blue,Authorization=Basic%20c2VjcmV0",
            otel_service_name="picture-house",
        ) as client:
            assert predict(client).status_code == 200
            client.get("/nothing-here")
        good, missing = sorted(server_spans(collector), key=lambda span: span.start_time_unix_nano)
        request = collector.requests[0]
        assert collector.services() == {"picture-house"}
    assert request.path == "/v1/traces"
    assert request.headers["x-tenant"] == "blue"
    assert request.headers["authorization"] == "Basic c2VjcmV0"
    assert good.name == f"POST {PATH}"
    assert attributes(good)["http.route"] == PATH
    assert attributes(good)["http.response.status_code"] == 200
    assert attributes(missing)["http.response.status_code"] == 404
    assert "http.route" not in attributes(missing)
    assert [span.trace_id.hex() for span in (good, missing)] == [
        line["trace_id"] for line in access_lines(capsys)
    ]


def test_a_failing_model_marks_its_span_as_an_error():
    """An error in a trace is red, and its trace id stands in the problem document."""
    model = ShadeModel()
    with collecting() as collector:
        with serve(model, otel_exporter_otlp_endpoint=collector.url) as client:
            model.forward_error = ValueError("broken inside")
            answer = predict(client)
        (span,) = server_spans(collector)
    assert answer.status_code == 500
    assert span.trace_id.hex() == answer.json()["trace_id"]
    assert span.status.code == span.status.STATUS_CODE_ERROR


def test_probes_and_scrapes_are_never_exported_and_have_ids_all_the_same():
    """They would be most of the bill, even where the caller's own trace is sampled."""
    with collecting() as collector:
        with serve(
            otel_exporter_otlp_endpoint=collector.url, metrics_token="marker-metrics-token"
        ) as client:
            for path in ("/health", "/ready"):
                assert client.get(path, headers=PARENT).status_code == 200
            refused = client.get("/metrics")
            client.get("/v1/models")
        assert {attributes(span)["http.route"] for span in server_spans(collector)} == {
            "/v1/models"
        }
        assert {span.trace_id for span in collector.spans()} == {collector.spans()[0].trace_id}
    assert refused.status_code == 401
    assert re.fullmatch(r"[0-9a-f]{32}", refused.json()["trace_id"])


def test_no_query_header_or_body_is_in_a_span():
    """Parameters can hold anything; a collector is another's machine."""
    with collecting() as collector:
        with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            predict(
                client,
                SENT_QUERY,
                authorization="Bearer marker-in-header",
                cookie="session=marker-in-cookie",
            )
            client.post(PATH, json={"image": "marker-in-body"})
        assert len(server_spans(collector)) == 2
        assert b"marker" not in collector.everything()
        assert attributes(server_spans(collector)[0])["url.query"] == "REDACTED"


def test_a_span_has_the_template_of_its_route_and_no_path():
    """A client may put an e-mail or a key there; who searches spans does so by the route."""
    with collecting() as collector:
        with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            client.get("/marker-in-path")
            client.get("/v1/models/marker-in-name/predictions")
            predict(client)
        assert b"marker" not in collector.everything()
        spans = [attributes(span) for span in server_spans(collector)]
        assert [span["url.path"] for span in spans] == ["REDACTED"] * 3
        assert [span.get("http.route") for span in spans] == [None, None, PATH]


def test_a_share_of_nothing_exports_nothing():
    """OTEL_TRACES_SAMPLER_ARG=0 leaves the ids and sends no span."""
    with collecting() as collector:
        with serve(otel_exporter_otlp_endpoint=collector.url, otel_traces_sampler_arg=0) as client:
            trace_id = client.get("/nothing-here").json()["trace_id"]
        assert collector.requests == []
    assert re.fullmatch(r"[0-9a-f]{32}", trace_id)


def test_two_applications_in_one_process_do_not_share_spans():
    """Each has its own provider, so that a test or a mounted app disturbs no other."""
    with collecting() as first, collecting() as second:
        with (
            serve(otel_exporter_otlp_endpoint=first.url, otel_service_name="one") as one,
            serve(otel_exporter_otlp_endpoint=second.url, otel_service_name="two") as two,
        ):
            one.get("/v1/models")
            two.get("/v1/models/shade")
        assert first.services() == {"one"}
        assert second.services() == {"two"}
        assert len(server_spans(first)) == len(server_spans(second)) == 1


def test_a_collector_that_refuses_spans_costs_a_count_and_nothing_else():
    """What could not be delivered is counted, span by span."""
    before = dropped()
    with collecting(status=400) as collector:
        with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            assert predict(client).status_code == 200
        refused = len(collector.spans())
    assert refused >= 1
    assert dropped() - before == refused


def given_up():
    """Whether no thread of an exporter is left that could still try, or log that it did."""
    return all(item.name != "OtelBatchSpanRecordProcessor" for item in threading.enumerate())


def test_a_collector_that_is_down_fails_no_request():
    """Spans leave in a thread of their own, and those lost are counted."""
    before = dropped()
    with (
        unreachable(hangs=False) as collector,
        serve(otel_exporter_otlp_endpoint=collector.url) as client,
    ):
        assert predict(client).status_code == 200
    wait_until(given_up, "the exporter has given up")
    assert dropped() > before


def test_a_collector_that_hangs_slows_neither_requests_nor_the_end():
    """Requests do not wait for it at all, and the end not until the exporter gives up (10 s)."""
    before = dropped()
    with unreachable(hangs=True) as collector:
        with serve(otel_exporter_otlp_endpoint=collector.url) as client:
            began = time.monotonic()
            assert all(predict(client).status_code == 200 for _ in range(20))
            answered = time.monotonic()
        ended = time.monotonic()
    wait_until(given_up, "the exporter has given up")
    assert dropped() > before
    assert answered - began < 60  # 200 s if each waited
    assert ended - answered < 9
