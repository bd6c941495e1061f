"""The lane: bounded, batched from what waits, and one bad input is one error."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from project.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    ModelUnavailable,
)
from project.inference.runner import Runner
from project.settings import Settings
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel, ShadeParams

PARAMS = ShadeParams()


@asynccontextmanager
async def serving(shade: ShadeModel, settings: Settings) -> AsyncIterator[Runner]:
    async with Runner([shade], settings) as runner:
        shade.batches.clear()
        shade.entered.clear()
        try:
            yield runner
        finally:
            shade.go_on.set()


async def until_waiting(runner: Runner, count: int) -> None:
    """Let the loop go on until so many predictions wait for a thread."""
    while runner.queues["shade"]._streams.waiting() < count:  # noqa: ASYNC110 - a queue has no event
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_a_picture_comes_back_with_its_result_and_the_time_of_every_stage(shade):
    """The caller sees where the time went."""

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            prediction = await runner.predict("shade", picture(), PARAMS)
        assert prediction.result.model_dump() == {"label": "light", "brightness": 255.0}
        assert set(prediction.seconds) == {
            "queue",
            "decode",
            "preprocess",
            "forward",
            "postprocess",
        }
        assert all(seconds >= 0 for seconds in prediction.seconds.values())

    run(test)


def test_what_waits_together_goes_through_the_net_together(shade):
    """While one forward pass runs, the others gather into one batch, up to the model's largest."""

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            shade.go_on.clear()
            first = asyncio.create_task(runner.predict("shade", picture(), PARAMS))
            await asyncio.to_thread(shade.entered.wait)
            rest = [
                asyncio.create_task(runner.predict("shade", picture(), PARAMS)) for _ in range(8)
            ]
            await until_waiting(runner, 8)
            shade.go_on.set()
            await asyncio.gather(first, *rest)
        assert shade.batches == [1, 8]

    run(test)


def test_a_prediction_that_takes_too_long_ends_at_its_deadline(shade):
    """The caller gets an answer in time, and the place in the queue is free again."""

    async def test() -> None:
        async with serving(shade, make_settings(prediction_deadline_seconds=0.05)) as runner:
            shade.go_on.clear()
            with pytest.raises(DeadlineExceeded):
                await runner.predict("shade", picture(), PARAMS)
            shade.go_on.set()
            assert runner.queues["shade"]._places.taken == 0

    run(test)


def test_one_input_that_breaks_the_net_fails_alone(shade):
    """The others of its batch are predicted again, each by itself."""
    dark, light = picture(colour="black"), picture()
    forward = shade.forward

    def break_on_dark(batch):
        outputs = forward(batch)
        if min(outputs) == 0:
            raise ValueError("too dark")
        return outputs

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            shade.forward = break_on_dark
            shade.go_on.clear()
            first = asyncio.create_task(runner.predict("shade", light, PARAMS))
            await asyncio.to_thread(shade.entered.wait)
            rest = [
                asyncio.create_task(runner.predict("shade", data, PARAMS))
                for data in (light, dark, light)
            ]
            await until_waiting(runner, 3)
            shade.go_on.set()
            outcomes = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [isinstance(outcome, ModelFailed) for outcome in outcomes] == [
            False,
            False,
            True,
            False,
        ]
        assert isinstance(outcomes[2].__cause__, ValueError)

    run(test)


def test_a_net_that_gives_too_few_outputs_is_an_error_and_not_a_hang(shade):
    """A wrong count would leave callers waiting for ever."""

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            shade.forward = lambda _batch: []
            with pytest.raises(ModelFailed):
                await runner.predict("shade", picture(), PARAMS)

    run(test)


def test_a_model_may_refuse_an_input_with_advice(shade):
    """InvalidInput raised by a model reaches the caller as it is."""

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            shade.refuse = True
            with pytest.raises(InvalidInput, match="no pictures today"):
                await runner.predict("shade", picture(), PARAMS)

    run(test)


def test_a_model_that_did_not_load_is_unavailable_and_harms_no_other(shade):
    """Corrupt weights cost their own model alone."""
    other = ShadeModel("other")
    shade.load_error = OSError("weights are corrupt")

    async def test() -> None:
        async with Runner([shade, other], make_settings()) as runner:
            with pytest.raises(ModelUnavailable):
                await runner.predict("shade", picture(), PARAMS)
            assert (await runner.predict("other", picture(), PARAMS)).result.label == "light"

    run(test)


def test_a_step_that_hangs_holds_up_nothing_but_itself(shade, monkeypatch):
    """Where there is another thread, who comes later is served by it, other workers or not."""
    monkeypatch.setattr("project.inference.executor.LONG_SECONDS", 0.01)
    monkeypatch.setattr("project.inference.concurrency.LONG_SECONDS", 0.01)
    forward = shade.forward
    hanging = threading.Event()

    def hang_on_dark(batch):
        if batch.max() == 0:
            hanging.wait()
        return forward(batch)

    async def test() -> None:
        async with serving(shade, make_settings(inference_streams=2)) as runner:
            shade.forward = hang_on_dark
            dark = asyncio.create_task(runner.predict("shade", picture(colour="black"), PARAMS))
            answers = [await runner.predict("shade", picture(), PARAMS) for _ in range(3)]
            assert [answer.result.label for answer in answers] == ["light"] * 3
            hanging.set()
            assert (await dark).result.label == "dark"

    run(test)


def test_two_models_under_load_share_the_turns(shade):
    """On one processor each makes a step in its turn; neither only hands the turn on."""
    other = ShadeModel("other")

    async def test() -> None:
        async with Runner([shade, other], make_settings(queue_limit=64)) as runner:
            asked = [
                runner.predict(name, picture(), PARAMS)
                for _ in range(20)
                for name in ("shade", "other")
            ]
            answers = await asyncio.gather(*asked)
        assert {answer.result.label for answer in answers} == {"light"}

    run(test)
