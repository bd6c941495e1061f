"""The runner: predictions are batched, bounded in time, counted, and fail one by one."""

import asyncio
import threading
from contextlib import nullcontext

import pytest
from starlette.exceptions import HTTPException

from project.errors import (
    ClientDisconnected,
    DeadlineExceeded,
    InvalidImage,
    InvalidInput,
    ModelFailed,
    ModelUnavailable,
    Overloaded,
    SlowUpload,
)
from project.observability.metrics import OUTCOMES
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel, ShadeParams
from tests.runners import make_runner, serving, until_waiting
from tests.samples import sample

pytestmark = pytest.mark.anyio
PARAMS = ShadeParams()


def outcomes() -> dict[str, float]:
    return {
        outcome: sample("inference_requests_total", model="shade", outcome=outcome)
        for outcome in OUTCOMES
    }


async def test_a_prediction_has_its_result_and_the_seconds_of_every_stage(shade):
    """The client sees where the time went."""
    async with serving(make_settings(), shade) as runner:
        prediction = await runner.predict("shade", {"image": picture()}, PARAMS)
    assert prediction.result.model_dump() == {"label": "light", "brightness": 255.0}
    assert set(prediction.seconds) == {"queue", "decode", "preprocess", "forward", "postprocess"}
    assert all(seconds >= 0 for seconds in prediction.seconds.values())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (InvalidImage("cut off"), "invalid"),
        (SlowUpload("a byte a second"), "invalid"),
        (HTTPException(400, "a form that is cut off"), "invalid"),
        (Overloaded("full", retry_after=1), "overload"),
        (DeadlineExceeded("slow"), "timeout"),
        (ClientDisconnected("hung up"), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (ModelFailed("broken"), "error"),
        (RuntimeError("a bug"), "error"),
        (KeyboardInterrupt(), "error"),
    ],
    ids=repr,
)
async def test_an_admitted_prediction_is_counted_once_by_how_it_ends(shade, error, outcome):
    """Whatever happens between the request's head and its answer; and its slot is free again."""
    expected = pytest.raises(type(error)) if error else nullcontext()
    async with serving(make_settings(), shade) as runner:
        before = outcomes()
        with expected, runner.admit("shade"):
            assert sample("inference_queue_depth", model="shade") == 1
            if error:
                raise error
        after = outcomes()
        assert sample("inference_queue_depth", model="shade") == 0
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {outcome: 1}


async def test_a_request_that_is_not_admitted_is_counted_too(shade):
    """As an overload, or as an error where the model is not there."""
    async with serving(make_settings(queue_limit=1), shade) as runner:
        with runner.admit("shade"):
            before = outcomes()
            with pytest.raises(Overloaded), runner.admit("shade"):
                pass
            runner.queues["shade"].failure = "weights are corrupt"
            with pytest.raises(ModelUnavailable), runner.admit("shade"):
                pass
            after = outcomes()
    assert after["overload"] == before["overload"] + 1
    assert after["error"] == before["error"] + 1
    assert sum(after.values()) == sum(before.values()) + 2


async def test_what_waits_together_goes_through_the_net_together(shade):
    """While one forward pass runs, the others gather into one batch, up to the model's largest."""
    async with serving(make_settings(), shade) as runner:
        shade.go_on.clear()
        first = asyncio.create_task(runner.predict("shade", {"image": picture()}, PARAMS))
        await asyncio.to_thread(shade.entered.wait)
        rest = [
            asyncio.create_task(runner.predict("shade", {"image": picture()}, PARAMS))
            for _ in range(8)
        ]
        await until_waiting(runner, 8)
        shade.go_on.set()
        await asyncio.gather(first, *rest)
    assert shade.batches == [1, 8]


async def test_a_prediction_that_takes_too_long_ends_at_its_deadline(shade):
    """The client gets an answer in time, and the slot is free again."""
    async with serving(make_settings(prediction_deadline_seconds=0.05), shade) as runner:
        shade.go_on.clear()
        with pytest.raises(DeadlineExceeded):
            await runner.predict("shade", {"image": picture()}, PARAMS)
        shade.go_on.set()
        assert runner.queues["shade"].admitted == 0


async def test_one_input_that_breaks_the_net_fails_alone(shade):
    """The others of its batch are predicted again, each by itself."""
    dark, light = picture(colour="black"), picture()
    forward = shade.forward

    def break_on_dark(batch):
        outputs = forward(batch)
        if min(outputs) == 0:
            raise ValueError("too dark")
        return outputs

    async with serving(make_settings(), shade) as runner:
        shade.forward = break_on_dark
        shade.go_on.clear()
        first = asyncio.create_task(runner.predict("shade", {"image": light}, PARAMS))
        await asyncio.to_thread(shade.entered.wait)
        rest = [
            asyncio.create_task(runner.predict("shade", {"image": data}, PARAMS))
            for data in (light, dark, light)
        ]
        await until_waiting(runner, 3)
        failures = sample("inference_batch_failures_total", model="shade")
        shade.go_on.set()
        ends = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [isinstance(end, ModelFailed) for end in ends] == [False, False, True, False]
    assert isinstance(ends[2].__cause__, ValueError)
    assert sample("inference_batch_failures_total", model="shade") == failures + 1


async def test_a_model_may_refuse_an_input_with_advice(shade):
    """InvalidInput raised by a model reaches the client as it is."""
    async with serving(make_settings(), shade) as runner:
        shade.refuse = True
        with pytest.raises(InvalidInput, match="no pictures today"):
            await runner.predict("shade", {"image": picture()}, PARAMS)


async def test_a_model_that_did_not_load_is_unavailable_and_harms_no_other(shade):
    """Corrupt weights cost their own model alone."""
    shade.load_error = OSError("weights are corrupt")
    async with make_runner(make_settings(), shade, ShadeModel("other")) as runner:
        with pytest.raises(ModelUnavailable):
            await runner.predict("shade", {"image": picture()}, PARAMS)
        assert (await runner.predict("other", {"image": picture()}, PARAMS)).result.label == "light"


async def test_a_step_that_hangs_holds_up_nothing_but_itself(shade):
    """Where there is another thread it serves later requests, other workers or not."""
    forward = shade.forward
    released = threading.Event()

    def hang_on_dark(batch):
        if batch.max() == 0:
            released.wait()
        return forward(batch)

    settings = make_settings(inference_streams=2)
    async with serving(settings, shade, long_seconds=0.01) as runner:
        shade.forward = hang_on_dark
        dark = asyncio.create_task(
            runner.predict("shade", {"image": picture(colour="black")}, PARAMS)
        )
        answers = [await runner.predict("shade", {"image": picture()}, PARAMS) for _ in range(3)]
        assert [answer.result.label for answer in answers] == ["light"] * 3
        released.set()
        assert (await dark).result.label == "dark"


async def test_two_models_under_load_share_the_processor(shade):
    """On one processor their threads alternate between steps; neither only passes the permit on."""
    settings = make_settings(queue_limit=64)
    async with make_runner(settings, shade, ShadeModel("other")) as runner:
        answers = await asyncio.gather(
            *(
                runner.predict(name, {"image": picture()}, PARAMS)
                for _ in range(20)
                for name in ("shade", "other")
            )
        )
    assert {answer.result.label for answer in answers} == {"light"}
