"""Models of steps that answer at once: ended between two steps, watched, and fair to the others."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loguru import logger

from project.errors import DeadlineExceeded, InvalidInput, ModelFailed
from project.inference.runner import Runner
from project.models.base import (
    NO_WEIGHTS,
    Field,
    Label,
    NoInputs,
    Params,
    StepModel,
    Steps,
)
from tests.conftest import make_settings
from tests.runners import DEADLINE, make_runner
from tests.samples import sample

pytestmark = pytest.mark.anyio


class Count(Params):
    """steps: how many."""

    steps: int = Field(3, ge=1, description="How many.")


class Walk(StepModel[NoInputs, Label, Count]):
    """Makes steps; each one but the first waits until the test lets it go on."""

    version, licence, summary, weights = "1", "MIT", "Walks.", NO_WEIGHTS

    def __init__(self, name: str = "walk") -> None:
        super().__init__(name)
        self.stepped = threading.Semaphore(0)  # released when a step is done
        self.go_on = threading.Semaphore(0)  # each step waits for it
        self.closed = threading.Event()
        self.threads: set[int] = set()
        self.error: Exception | None = None
        self.made: Any = Label(label="there")

    def steps(self, inputs: NoInputs, params: Count) -> Steps[Label]:
        try:
            for number in range(1, params.steps + 1):
                self.threads.add(threading.get_ident())
                self.stepped.release()
                yield number / (params.steps + 1)
                self.go_on.acquire()
            if self.error:
                raise self.error
            logger.info("walked")
            return self.made
        finally:
            self.closed.set()


@pytest.fixture
def walk() -> Walk:
    return Walk()


@asynccontextmanager
async def walking(*models: Walk, **options: Any) -> AsyncIterator[Runner]:
    """A runner that has not warmed the models up."""
    runner = make_runner(make_settings(), *models, warm_up_steps=False, **options)
    async with runner:
        try:
            yield runner
        finally:
            for model in models:
                model.go_on.release(100)


async def until_closed(walk: Walk) -> None:
    assert await asyncio.to_thread(walk.closed.wait, DEADLINE)


async def until_stepped(walk: Walk) -> None:
    assert await asyncio.to_thread(walk.stepped.acquire, timeout=DEADLINE)


async def test_the_steps_are_made_in_one_thread_and_reported(walk):
    """As a generator may hold what belongs to its thread."""
    walk.go_on.release(3)
    shares: list[float] = []
    async with walking(walk) as runner:
        with runner.admit("walk") as slot:
            prediction = await slot.predict({}, Count(), report=shares.append)
    assert prediction.result == Label(label="there")
    assert set(prediction.seconds) == {"queue", "decode", "forward", "postprocess"}
    assert shares == [0.0, 0.25, 0.5, 0.75]
    assert len(walk.threads) == 1
    assert sample("inference_predictions_total", model="walk", label="there") >= 1


async def test_a_client_that_hangs_up_ends_the_steps(walk):
    """At the next one; the thread is free for another request."""
    async with walking(walk) as runner:
        task = asyncio.create_task(runner.predict("walk", {}, Count(steps=50)))
        await until_stepped(walk)
        task.cancel()
        await asyncio.wait([task])
        walk.go_on.release()
        await until_closed(walk)
        walk.go_on.release(100)
        assert (await runner.predict("walk", {}, Count())).result.label == "there"


async def test_a_deadline_ends_the_steps(walk):
    """With a 504, and no step more than the one that runs."""
    async with walking(walk, deadline_seconds=0.05) as runner:
        with pytest.raises(DeadlineExceeded):
            await runner.predict("walk", {}, Count(steps=50))
        walk.go_on.release()
        await until_closed(walk)
    assert sample("inference_requests_total", model="walk", outcome="timeout") >= 1


async def test_what_a_report_raises_ends_the_steps_and_is_raised(walk):
    """As a job ends that is cancelled."""

    class Stop(Exception):
        pass

    def report(share: float) -> None:
        if share:
            raise Stop

    async with walking(walk) as runner:
        with runner.admit("walk") as slot, pytest.raises(Stop):
            await slot.predict({}, Count(), report=report)
        await until_closed(walk)


@pytest.mark.parametrize(
    ("error", "made", "expected"),
    [
        (ValueError("broken"), None, ModelFailed),
        (InvalidInput("not like this"), None, InvalidInput),
        (None, "no label", ModelFailed),
    ],
)
async def test_an_error_of_a_step_is_an_error_of_the_prediction(walk, error, made, expected):
    """A bug of the model is ours; its advice is the client's."""
    walk.error, walk.made = error, made
    walk.go_on.release(3)
    async with walking(walk) as runner:
        with pytest.raises(expected):
            await runner.predict("walk", {}, Count())


async def test_what_a_step_logs_belongs_to_its_request(walk):
    """The context of the request is the context of the steps."""
    seen: list[Any] = []
    sink = logger.add(lambda line: seen.append(line.record["extra"].get("who")), format="{message}")
    walk.go_on.release(3)
    try:
        async with walking(walk) as runner:
            with logger.contextualize(who="me"):
                await runner.predict("walk", {}, Count())
    finally:
        logger.remove(sink)
    assert "me" in seen


async def test_only_a_step_that_hangs_makes_a_model_stuck(walk):
    """However long all of them take together."""
    async with walking(walk, deadline_seconds=0.02, long_seconds=0.01) as runner:
        queue = runner.queues["walk"]
        with pytest.raises(DeadlineExceeded):
            await runner.predict("walk", {}, Count(steps=50))
        async with asyncio.timeout(DEADLINE):
            while not queue.is_stuck():  # noqa: ASYNC110 - it is time itself that is awaited
                await asyncio.sleep(0.001)
        walk.go_on.release()
        await until_closed(walk)
        assert not queue.is_stuck()


async def test_steps_give_the_processor_back_where_another_model_waits():
    """A long prediction does not keep a short one waiting to its end."""
    first, second = Walk("first"), Walk("second")
    async with walking(first, second, streams=1, guaranteed_streams=1) as runner:
        long = asyncio.create_task(runner.predict("first", {}, Count(steps=50)))
        await until_stepped(first)
        short = asyncio.create_task(runner.predict("second", {}, Count(steps=1)))
        second.go_on.release(2)
        while not short.done():
            first.go_on.release()
            await asyncio.wait([short], timeout=0.05)
        assert (await short).result.label == "there"
        assert not long.done()
        first.go_on.release(100)
        await long
