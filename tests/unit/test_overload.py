"""Under overload a refusal costs next to nothing, and is counted and told all the same."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from loguru import logger

from project.api.overload import OverloadGuard
from project.errors import Overloaded
from project.inference.model_queue import ModelQueue
from project.inference.runner import Runner
from project.observability import metrics
from tests.conftest import make_settings
from tests.fakes import ShadeModel

PATH = "/v1/models/shade/predictions"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
METRICS_PORT = 9090
PLACES = 3

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def guarded(
    shade: ShadeModel, taken: int = PLACES
) -> AsyncIterator[tuple[OverloadGuard, ModelQueue]]:
    """A door before a lane with three places, of which so many are taken."""
    runner = Runner([shade], make_settings(queue_limit=PLACES))
    async with runner:
        queue = runner.queues["shade"]
        with ExitStack() as inside:
            for _ in range(taken):
                inside.enter_context(queue.admit())
            yield OverloadGuard(runner, but_on=METRICS_PORT), queue


def ask(
    door: OverloadGuard,
    *headers: tuple[str, str],
    method: str = "POST",
    target: str = PATH,
    port: int = 80,
) -> bytes | None:
    sent = [(name.encode(), value.encode()) for name, value in headers]
    return door.refusal(method.encode(), target.encode(), sent, port)


def read(refusal: bytes | None) -> tuple[dict[str, str], Any]:
    """The header lines and the document of an answer."""
    assert refusal is not None
    head, _, body = refusal.decode().partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines())
    assert int(headers["content-length"]) == len(body)
    return headers, json.loads(body)


async def test_the_refusal_is_a_problem_document_with_the_callers_ids(shade):
    """He reads what to do, and finds his request in his own logs and traces."""
    async with guarded(shade) as (door, queue):
        traceparent = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")
        headers, document = read(ask(door, ("x-request-id", "mine-1"), traceparent))
        expected = queue.overload()
    assert expected is not None
    assert headers["retry-after"] == expected.headers["Retry-After"]
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == "mine-1"
    assert document == {
        "type": "urn:vitrine:problem:overloaded",
        "title": Overloaded.title,
        "status": 503,
        "detail": expected.detail,
        "request_id": "mine-1",
        "trace_id": TRACE,
    }


@pytest.mark.parametrize("wrong", ["", "00-zz-1-01", f"00-{'0' * 32}-00f067aa0ba902b7-01", "\xff"])
async def test_ids_that_are_none_are_replaced(shade, wrong):
    """They are always such that headers, logs and tools take them."""
    async with guarded(shade) as (door, _):
        hostile = ("x-request-id", f'"}}{wrong}')
        headers, document = read(ask(door, ("traceparent", wrong), hostile))
    assert len(document["trace_id"]) == 32
    assert int(document["trace_id"], 16) > 0
    assert len(headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    "target", [f"{PATH}?top_k=3", f"http://localhost{PATH}", PATH.replace("s", "%73")]
)
async def test_however_the_path_is_written_the_door_knows_it(shade, target):
    """Another spelling must not be a way around."""
    async with guarded(shade) as (door, _):
        assert ask(door, target=target) is not None


async def test_of_several_ids_the_first_counts(shade):
    """As for every other request: a proxy may have added its own."""
    async with guarded(shade) as (door, _):
        headers, _ = read(ask(door, ("x-request-id", "first"), ("x-request-id", "second")))
    assert headers["x-request-id"] == "first"


@pytest.mark.parametrize(
    "other",
    [
        {"method": "GET"},
        {"target": "/health"},
        {"target": f"{PATH}/more"},
        {"port": METRICS_PORT},
    ],
    ids=["method", "path", "longer path", "port"],
)
async def test_only_predictions_are_refused(shade, other):
    """Probes, scrapes and pages pass, however full it is."""
    async with guarded(shade) as (door, _):
        assert ask(door, **other) is None
        assert ask(door, target=f"{PATH}?top_k=3") is not None


async def test_many_that_come_at_once_do_not_share_one_place(shade):
    """One look at the network brings many heads; each that passes will take a place."""
    async with guarded(shade, taken=1) as (door, queue):
        passed = [ask(door) is None for _ in range(PLACES)]
        await asyncio.sleep(0)  # those that passed would have taken their places by now
        assert passed == [True, True, False]
        assert queue.overload() is None


async def test_refusals_are_counted_one_by_one_and_told_once_a_second(shade, monkeypatch):
    """A thousand lines a second would cost more than the predictions; the numbers add up."""
    monkeypatch.setattr("project.api.overload.LOG_SECONDS", 0.05)
    counters = (
        metrics.HTTP_REQUESTS.labels("POST", PATH, "503"),
        metrics.HTTP_REJECTED.labels("overload"),
        metrics.INFERENCE_REQUESTS.labels("shade", "overload"),
    )
    before = [counter._value.get() for counter in counters]
    records: list[Any] = []
    all_told = asyncio.Event()

    def note(message: Any) -> None:
        records.append(message.record)
        if sum(record["extra"]["count"] for record in records) == 20:
            all_told.set()

    sink = logger.add(note, filter=lambda record: record["message"] == "requests_refused")
    async with guarded(shade) as (door, _):
        for _ in range(20):
            ask(door)
        await asyncio.wait_for(all_told.wait(), 60)
    logger.remove(sink)
    assert [counter._value.get() for counter in counters] == [value + 20 for value in before]
    assert [record["extra"]["count"] for record in records] == [1, 19]
    assert {record["extra"]["model"] for record in records} == {"shade"}
