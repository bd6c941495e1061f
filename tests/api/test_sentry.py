"""Sentry: one event for an error that nobody expected, none for the rest, and no secrets in it."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sentry_sdk
from fastapi import APIRouter
from loguru import logger
from starlette.testclient import TestClient

from drills.waiting import wait_until
from project import __version__
from project.api.factory import create_app
from tests.collectors import collecting, unreachable
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel
from tests.samples import sample

PATH = "/v1/models/shade/predictions"
odd = APIRouter()


@odd.post("/odd/{name}")
async def fail_oddly(name: str) -> None:
    """An endpoint that raises what nobody expects."""
    local = f"marker-{'in'}-local-{name}"  # in pieces: a frame shows lines of source
    raise LookupError(f"odd {len(local)}")


@odd.get("/chatty")
async def talk_then_fail(word: str, *, fail: bool) -> str:
    """Logs a line of its own and fails if told to."""
    logger.bind(word=word).info("said_" + word)
    if fail:
        raise LookupError("enough")
    return word


def serve(dsn, model=None, **changes):
    """A client for an application that reports to this DSN."""
    settings = make_settings(sentry_dsn=dsn, revision="abc123", environment="local", **changes)
    app = create_app(settings, [model or ShadeModel()])
    app.include_router(odd)
    return TestClient(app, raise_server_exceptions=False)


def predict(client, data=None):
    return client.post(PATH, files={"image": picture() if data is None else data})


def dropped():
    return sample("telemetry_dropped_total", signal="errors")


def test_a_model_that_raises_is_one_event_that_leads_to_the_request():
    """The person on call gets one report with all that finds the rest of the story."""
    model = ShadeModel()
    with collecting() as ingest:
        with serve(ingest.dsn, model) as client:
            model.forward_error = ValueError("broken inside")
            answer = predict(client)
        (event,) = ingest.events()
    problem = answer.json()
    assert event["contexts"]["trace"]["trace_id"] == problem["trace_id"]
    assert event["tags"]["request_id"] == problem["request_id"]
    assert event["transaction"] == f"POST {PATH}"
    assert event["transaction_info"] == {"source": "route"}
    assert event["release"] == f"vitrine@{__version__}+abc123"
    assert event["environment"] == "local"
    assert event["level"] == "error"
    assert event["logentry"]["message"] == "prediction_failed"
    assert event["exception"]["values"][-1]["value"] == "broken inside"


def test_an_endpoint_that_raises_is_one_event_under_its_template():
    """The raw path, which a caller can fill, is in no event, nor are values of variables."""
    with collecting() as ingest:
        with serve(ingest.dsn) as client:
            answer = client.post(
                "/odd/marker-in-path?q=marker-in-query",
                content=b"marker-in-body",
                headers={"Authorization": "Bearer marker-in-header"},
            )
        (event,) = ingest.events()
        assert b"marker-in" not in ingest.everything()
    assert answer.status_code == 500
    assert event["transaction"] == "POST /odd/{name}"
    assert event["tags"]["request_id"] == answer.headers["X-Request-ID"]
    assert event["contexts"]["trace"]["trace_id"] == answer.json()["trace_id"]
    frames = [
        frame for error in event["exception"]["values"] for frame in error["stacktrace"]["frames"]
    ]
    assert frames
    assert not any("vars" in frame for frame in frames)
    assert "request" not in event


def test_what_callers_do_wrong_and_what_passes_by_itself_is_no_event():
    """Nobody is woken for a broken upload, a busy minute or a slow picture."""
    model = ShadeModel()
    with collecting() as ingest:
        with serve(
            ingest.dsn, model, max_body_bytes=4096, prediction_deadline_seconds=0.2
        ) as client:
            statuses = [
                client.get("/nothing-here").status_code,
                client.get(PATH).status_code,
                client.post(
                    PATH, content=b"0" * 5000, headers={"Content-Type": "image/png"}
                ).status_code,
                client.post(PATH, content=b"x", headers={"Content-Type": "a/b"}).status_code,
                predict(client, b"no image").status_code,
            ]
            model.go_on.clear()
            statuses.append(predict(client).status_code)
            model.go_on.set()
        with serve(ingest.dsn, model, queue_limit=1) as client:
            model.entered.clear()
            model.go_on.clear()
            with ThreadPoolExecutor(1) as pool:
                first = pool.submit(predict, client)
                model.entered.wait()
                statuses.append(predict(client).status_code)
                model.go_on.set()
            assert first.result().status_code == 200
        assert ingest.events() == []
    assert statuses == [404, 405, 413, 415, 422, 504, 503]


def test_an_error_that_a_library_logs_is_one_event():
    """Sentry would see it a second time on its way through the standard library."""
    with collecting() as ingest:
        with serve(ingest.dsn):
            logging.getLogger("some.library").error("it %s", "broke")
        (event,) = ingest.events()
    assert event["logger"] == "some.library"
    assert event["logentry"]["message"] == "it broke"


def test_without_a_dsn_nothing_is_started():
    """No DSN, no client, no event."""
    with serve(None) as client:
        assert client.post("/odd/one").status_code == 500
        assert not sentry_sdk.is_initialized()


def test_a_model_that_does_not_load_is_one_event():
    """Readiness turns red, and the reason is reported once."""
    model = ShadeModel()
    model.load_error = OSError("weights are corrupt")
    with collecting() as ingest:
        with serve(ingest.dsn, model) as client:
            assert client.get("/ready").status_code == 503
            assert predict(client).status_code == 503
        (event,) = ingest.events()
    assert event["logentry"]["message"] == "model_load_failed"
    assert event["exception"]["values"][-1]["value"] == "weights are corrupt"


def test_every_start_of_the_application_reports_and_none_reports_twice():
    """Handlers neither get lost nor pile up where one process starts it several times."""
    with collecting() as ingest:
        for count in (1, 2, 3):
            with serve(ingest.dsn) as client:
                client.post("/odd/one")
            assert len(ingest.events()) == count
            assert not sentry_sdk.is_initialized()


def test_two_requests_that_fail_alike_are_two_events():
    """Each has its own ids; Sentry groups them."""
    with collecting() as ingest:
        with serve(ingest.dsn) as client:
            ids = {client.post("/odd/one").headers["X-Request-ID"] for _ in range(2)}
        assert {event["tags"]["request_id"] for event in ingest.events()} == ids
        assert len(ingest.events()) == 2


def test_breadcrumbs_of_one_request_are_in_no_other_ones_event():
    """What another caller did is neither a cause nor this caller's business."""
    with collecting() as ingest:
        with serve(ingest.dsn) as client:
            client.get("/chatty?word=first&fail=0")
            client.get("/chatty?word=second&fail=1")
        (event,) = ingest.events()
    messages = [crumb["message"] for crumb in event["breadcrumbs"]["values"]]
    assert "said_second" in messages
    assert "said_first" not in messages


def test_secrets_of_the_settings_are_masked_in_events():
    """An exception's text may carry one, and Sentry is another's machine."""
    token = "marker-metrics-token"
    model = ShadeModel()
    model.load_error = OSError(f"cannot fetch with {token}")
    with collecting() as ingest:
        with serve(ingest.dsn, model, metrics_token=token):
            pass
        assert len(ingest.events()) == 1
        assert token.encode() not in ingest.everything()


@pytest.mark.parametrize("status", [429, 500])
def test_an_event_that_sentry_turns_away_is_counted_once(status):
    """The dashboard shows that errors are not arriving."""
    before = dropped()
    with collecting(status) as ingest:
        with serve(ingest.dsn) as client:
            client.post("/odd/one")
        assert len(ingest.events()) == 1
    assert dropped() - before == 1


def test_a_sentry_that_is_down_fails_no_request_and_is_counted():
    """Reporting is never worth a request."""
    before = dropped()
    with unreachable(hangs=False) as ingest, serve(ingest.dsn) as client:
        assert client.post("/odd/one").status_code == 500
        assert predict(client).status_code == 200
    wait_until(lambda: dropped() > before, "Sentry has given up")
    assert dropped() - before == 1


def test_a_sentry_that_hangs_slows_neither_requests_nor_the_end():
    """Requests do not wait for it at all, and the end not until its time-out of 30 s."""
    before = dropped()
    with unreachable(hangs=True) as ingest:
        with serve(ingest.dsn) as client:
            began = time.monotonic()
            assert client.post("/odd/one").status_code == 500
            assert predict(client).status_code == 200
        took = time.monotonic() - began
    wait_until(lambda: dropped() > before, "Sentry has given up")
    assert took < 25
    assert dropped() - before == 1
