"""Under overload a refusal costs next to nothing, and is counted and told all the same."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from loguru import logger
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.observability import metrics
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel

PATH = "/v1/models/shade/predictions"
IMAGE = {"Content-Type": "image/png"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def full(shade: ShadeModel) -> Iterator[tuple[TestClient, list[Any]]]:
    """A client of an app whose only place is taken, and the answer of who took it, at the end."""
    inside: list[Any] = []
    app = create_app(make_settings(queue_limit=1), [shade])
    with TestClient(app, raise_server_exceptions=False) as client:
        shade.entered.clear()
        shade.go_on.clear()
        thread = threading.Thread(
            target=lambda: inside.append(client.post(PATH, content=picture(), headers=IMAGE))
        )
        thread.start()
        try:
            assert shade.entered.wait(60)
            yield client, inside
        finally:
            shade.go_on.set()
            thread.join()


def refuse(client: TestClient, **headers: str) -> Any:
    return client.post(PATH, content=picture(), headers={**IMAGE, **headers})


def test_the_refusal_carries_the_callers_ids(shade):
    """He finds his request in his own logs and traces."""
    with full(shade) as (client, inside):
        headers = {"X-Request-ID": "mine-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        answer = refuse(client, **headers)
    assert answer.status_code == 503
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "mine-1"
    assert answer.json()["trace_id"] == TRACE
    assert inside[0].status_code == 200


@pytest.mark.parametrize("wrong", ["", "00-zz-1-01", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_a_traceparent_that_is_none_is_replaced(shade, wrong):
    """The id is always one that tools accept."""
    with full(shade) as (client, _):
        trace_id = refuse(client, traceparent=wrong).json()["trace_id"]
    assert len(trace_id) == 32
    assert int(trace_id, 16) > 0


def test_refusals_are_counted_one_by_one_and_logged_once(shade):
    """A thousand lines a second would cost more than the predictions."""
    counters = (
        metrics.HTTP_REQUESTS.labels("POST", PATH, "503"),
        metrics.HTTP_REJECTED.labels("overload"),
        metrics.INFERENCE_REQUESTS.labels("shade", "overload"),
    )
    before = [counter._value.get() for counter in counters]
    records: list[Any] = []
    with full(shade) as (client, _):
        sink = logger.add(lambda message: records.append(message.record))
        began = time.monotonic()
        assert {refuse(client).status_code for _ in range(20)} == {503}
        seconds = time.monotonic() - began
        logger.remove(sink)
        assert client.get("/health").status_code == 200
        assert client.get(PATH).status_code == 405  # the door is for predictions alone
    assert [counter._value.get() for counter in counters] == [value + 20 for value in before]
    told = [record for record in records if record["message"] == "requests_refused"]
    assert len(told) <= 2 + seconds  # the first at once, then one a second
    assert told[0]["extra"]["model"] == "shade"
    assert not [record for record in records if record["message"] == "request_served"]


def test_every_refusal_is_told_in_the_end(shade):
    """The numbers in the log add up to the counter's."""
    records: list[Any] = []
    with full(shade) as (client, _):
        told = threading.Event()

        def note(message: Any) -> None:
            records.append(message.record)
            if sum(each["extra"].get("count", 0) for each in records) == 7:
                told.set()

        sink = logger.add(note, filter=lambda record: record["message"] == "requests_refused")
        for _ in range(7):
            refuse(client)
        assert told.wait(60)
        logger.remove(sink)
