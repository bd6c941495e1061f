"""The overload guard: which requests it rejects, and that rejections are counted and logged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from loguru import logger

from project.api.overload import OverloadGuard
from project.errors import Overloaded
from project.inference.model_queue import ModelQueue
from project.inference.runner import Runner
from tests.conftest import make_settings
from tests.fakes import ShadeModel
from tests.samples import sample

PATH = "/v1/models/shade/predictions"
METRICS_PORT = 9090
LIMIT = 3

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def guarded(
    shade: ShadeModel, admitted: int = LIMIT, **options: Any
) -> AsyncIterator[tuple[OverloadGuard, ModelQueue]]:
    """The guard of a queue that admits three predictions, of which so many are admitted."""
    runner = Runner.of([shade], make_settings(queue_limit=LIMIT))
    async with runner:
        queue = runner.queues["shade"]
        with ExitStack() as stack:
            for _ in range(admitted):
                stack.enter_context(runner.admit("shade"))
            yield OverloadGuard(runner, excluded_port=METRICS_PORT, **options), queue


def overload(
    guard: OverloadGuard,
    *,
    method: str = "POST",
    target: str = PATH,
    port: int = 80,
    prefer: str = "",
) -> Overloaded | None:
    headers = [(b"host", b"x"), (b"prefer", prefer.encode())]
    return guard.overload(method.encode(), target.encode(), headers, port)


@pytest.mark.parametrize(
    "target", [PATH, f"{PATH}?top_k=3", f"http://localhost{PATH}", PATH.replace("s", "%73")]
)
async def test_every_spelling_of_the_path_is_guarded(shade, target):
    """Another spelling must not be a way around."""
    async with guarded(shade) as (guard, queue):
        rejected = overload(guard, target=target)
        expected = queue.overload()
    assert rejected is not None
    assert expected is not None
    assert (rejected.detail, rejected.headers) == (expected.detail, expected.headers)


async def test_a_request_that_prefers_a_job_needs_no_slot(shade):
    """Where jobs are on; else the preference is ignored."""
    async with guarded(shade, jobs=True) as (guard, _queue):
        assert overload(guard, prefer="wait=5, Respond-Async; x") is None
        assert overload(guard, prefer="respond-asynchronously") is not None
    async with guarded(shade) as (guard, _queue):
        assert overload(guard, prefer="respond-async") is not None


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
async def test_only_predictions_are_rejected(shade, other):
    """Probes, scrapes and pages pass under any load."""
    async with guarded(shade) as (guard, _):
        assert overload(guard, **other) is None


async def test_a_burst_is_admitted_up_to_the_limit(shade):
    """One read of the sockets brings many heads; each that passes will take a slot."""
    async with guarded(shade, admitted=1) as (guard, queue):
        passed = [overload(guard) is None for _ in range(LIMIT)]
        await asyncio.sleep(0)  # those that passed would have taken their slots by now
        assert passed == [True, True, False]
        assert queue.overload() is None


async def test_rejections_are_counted_one_by_one_and_logged_once_a_second(shade):
    """A thousand lines a second would cost more than the predictions; the numbers add up."""

    def counts() -> list[float]:
        return [
            sample("http_requests_total", method="POST", handler=PATH, status="503"),
            sample("http_requests_rejected_total", reason="overload"),
            sample("inference_requests_total", model="shade", outcome="overload"),
        ]

    before = counts()
    records: list[Any] = []
    all_logged = asyncio.Event()

    def note(message: Any) -> None:
        records.append(message.record)
        if sum(record["extra"]["count"] for record in records) == 20:
            all_logged.set()

    sink = logger.add(note, filter=lambda record: record["message"] == "requests_refused")
    async with guarded(shade, log_seconds=0.05) as (guard, _):
        for _ in range(20):
            overload(guard)
        await asyncio.wait_for(all_logged.wait(), 60)
    logger.remove(sink)
    assert counts() == [value + 20 for value in before]
    assert [record["extra"]["count"] for record in records] == [1, 19]
    assert {record["extra"]["model"] for record in records} == {"shade"}
