"""What goes wrong inside a model costs what it must and nothing more."""

import asyncio
from typing import Any

import pytest

from project.errors import DeadlineExceeded, InvalidInput, ModelFailed, ModelUnavailable
from project.models.base import ImageInput
from tests.conftest import make_settings, picture
from tests.fakes import Shade, ShadeModel, ShadeParams
from tests.runners import DEADLINE, make_runner, serving
from tests.samples import sample

pytestmark = pytest.mark.anyio
PARAMS = ShadeParams()


def refuse(*_: Any) -> Any:
    raise InvalidInput("no face in this picture")


@pytest.mark.parametrize("step", ["preprocess", "forward", "postprocess"])
async def test_a_model_may_refuse_in_any_step_and_goes_on_serving(shade, step):
    """What is wrong with a picture is often known only at the end."""
    async with serving(make_settings(), shade) as runner:
        whole = getattr(shade, step)
        setattr(shade, step, refuse)
        with pytest.raises(InvalidInput, match="no face"):
            await runner.predict("shade", {"image": picture()}, PARAMS)
        setattr(shade, step, whole)
        assert (await runner.predict("shade", {"image": picture()}, PARAMS)).result.label == "light"


async def test_a_net_that_gives_too_few_outputs_is_an_error_and_not_a_hang(shade):
    """A wrong count would leave requests waiting for ever."""
    async with serving(make_settings(), shade) as runner:
        shade.forward = lambda _batch: []
        with pytest.raises(ModelFailed):
            await runner.predict("shade", {"image": picture()}, PARAMS)


async def test_a_postprocess_that_gives_no_result_of_its_kind_is_a_fault_of_the_model(shade):
    """A dict instead of the declared result would break the schema that clients rely on."""
    async with serving(make_settings(), shade) as runner:
        shade.postprocess = lambda *_: {"label": "light"}
        with pytest.raises(ModelFailed) as failed:
            await runner.predict("shade", {"image": picture()}, PARAMS)
        assert isinstance(failed.value.__cause__, TypeError)
        assert failed.value.about == {"model": "shade", "width": 32, "height": 32}


@pytest.mark.parametrize(
    "top_prediction", [lambda _: 1 / 0, lambda _: ("light", float("nan")), lambda _: 7]
)
async def test_a_bug_in_what_is_counted_costs_the_count_and_not_the_result(shade, top_prediction):
    """The client has its answer; the sum of the confidences stays a number."""
    async with serving(make_settings(), shade) as runner:
        before = sample("inference_confidence_count", model="shade")
        shade.top_prediction = top_prediction
        assert (await runner.predict("shade", {"image": picture()}, PARAMS)).result.label == "light"
        assert sample("inference_confidence_count", model="shade") == before


async def test_a_forward_pass_that_hangs_is_noticed_and_nothing_is_sent_after_it(shade):
    """The process is known to be stuck, so that it can be replaced."""
    async with serving(make_settings(prediction_deadline_seconds=0.01), shade) as runner:
        assert runner.stuck() == []
        shade.go_on.clear()
        with pytest.raises(DeadlineExceeded):
            await runner.predict("shade", {"image": picture()}, PARAMS)
        async with asyncio.timeout(DEADLINE):
            while not runner.stuck():  # noqa: ASYNC110 - it is time itself that is awaited
                await asyncio.sleep(0.001)
        assert runner.stuck() == ["shade"]
        with pytest.raises(ModelUnavailable):
            await runner.predict("shade", {"image": picture()}, PARAMS)


async def test_a_load_that_failed_is_tried_again_until_it_succeeds():
    """A disk or a network that was away for a moment costs no restart."""

    class Reluctant(ShadeModel):
        tries = 0

        def load(self) -> None:
            self.tries += 1
            if self.tries < 3:
                raise OSError("not yet")

    model = Reluctant()
    async with make_runner(make_settings(), model, retry_seconds=0.001) as runner:
        async with asyncio.timeout(DEADLINE):
            while runner.queues["shade"].failure:  # noqa: ASYNC110 - a load has no event
                await asyncio.sleep(0.001)
        assert (await runner.predict("shade", {"image": picture()}, PARAMS)).result.label == "light"
        assert model.tries == 3


async def test_a_model_that_refuses_a_blank_picture_is_loaded_all_the_same():
    """The warm-up is for speed; a refusal is an answer."""

    class Choosy(ShadeModel):
        def postprocess(self, output: Any, inputs: ImageInput, params: ShadeParams) -> Shade:
            if output == 0:
                raise InvalidInput("send a picture with something on it")
            return super().postprocess(output, inputs, params)

    async with make_runner(make_settings(), Choosy()) as runner:
        assert runner.queues["shade"].failure is None
