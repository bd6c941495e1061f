"""What goes wrong inside a model costs what it must and nothing more."""

import asyncio
from typing import Any

import pytest

from project.errors import InvalidInput, ModelFailed, ModelUnavailable
from project.inference.runner import Runner
from project.observability import metrics
from tests.conftest import make_settings, picture
from tests.fakes import Shade, ShadeModel, ShadeParams
from tests.unit.test_model_queue import PARAMS, run, serving, until_waiting


def refuse(*_: Any) -> Any:
    raise InvalidInput("no face in this picture")


@pytest.mark.parametrize("step", ["preprocess", "forward", "postprocess"])
def test_a_model_may_refuse_in_any_step_and_goes_on_serving(shade, step):
    """What is wrong with a picture is often known only at the end."""

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            whole = getattr(shade, step)
            setattr(shade, step, refuse)
            with pytest.raises(InvalidInput, match="no face"):
                await runner.predict("shade", picture(), PARAMS)
            setattr(shade, step, whole)
            assert (await runner.predict("shade", picture(), PARAMS)).result.label == "light"

    run(test)


def test_a_batch_that_fails_is_counted_and_its_pictures_are_served_one_by_one(shade):
    """Batching may be dead for weeks, and nobody would know."""
    failures = metrics.INFERENCE_BATCH_FAILURES.labels("shade")
    forward = shade.forward

    def one_at_a_time(batch: Any) -> Any:
        outputs = forward(batch)
        if len(batch) > 1:
            raise RuntimeError("out of memory")
        return outputs

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            before = failures._value.get()
            shade.forward = one_at_a_time
            shade.go_on.clear()
            first = asyncio.create_task(runner.predict("shade", picture(), PARAMS))
            await asyncio.to_thread(shade.entered.wait)
            rest = [asyncio.create_task(runner.predict("shade", picture(), PARAMS)) for _ in "ab"]
            await until_waiting(runner, 2)
            shade.go_on.set()
            assert len(await asyncio.gather(first, *rest)) == 3
            assert failures._value.get() == before + 1

    run(test)


def test_a_postprocess_that_gives_no_result_of_its_kind_is_a_fault_of_the_model(shade):
    """A dict instead of the declared result would break the schema that callers rely on."""

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            shade.postprocess = lambda *_: {"label": "light"}
            with pytest.raises(ModelFailed) as failed:
                await runner.predict("shade", picture(), PARAMS)
            assert "dict" in str(failed.value.__cause__)
            assert failed.value.about == {"model": "shade", "width": 32, "height": 32}

    run(test)


@pytest.mark.parametrize(
    "top_prediction", [lambda _: 1 / 0, lambda _: ("light", float("nan")), lambda _: 7]
)
def test_a_bug_in_what_is_counted_costs_the_count_and_not_the_result(shade, top_prediction):
    """The caller has his answer; the sum of the confidences stays a number."""
    confidence = metrics.INFERENCE_CONFIDENCE.labels("shade")

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            before = confidence._sum.get()
            shade.top_prediction = top_prediction
            assert (await runner.predict("shade", picture(), PARAMS)).result.label == "light"
            assert confidence._sum.get() == before

    run(test)


def test_a_forward_pass_that_hangs_is_noticed_and_no_one_is_sent_after_it(shade):
    """Three deadlines long nothing came back: this process will not answer for that model again."""

    async def test() -> None:
        async with serving(shade, make_settings(prediction_deadline_seconds=0.01)) as runner:
            assert runner.stuck() == []
            shade.go_on.clear()
            with pytest.raises(Exception, match="longer than"):
                await runner.predict("shade", picture(), PARAMS)
            async with asyncio.timeout(30):
                while not runner.stuck():  # noqa: ASYNC110 - it is time itself that is awaited
                    await asyncio.sleep(0.01)
            assert runner.stuck() == ["shade"]
            with pytest.raises(ModelUnavailable):
                await runner.predict("shade", picture(), PARAMS)

    run(test)


def test_a_load_that_failed_is_tried_again_until_it_succeeds():
    """A disk or a network that was away for a moment costs no restart."""

    class Reluctant(ShadeModel):
        tries = 0

        def load(self) -> None:
            self.tries += 1
            if self.tries < 3:
                raise OSError("not yet")

    model = Reluctant()

    async def test() -> None:
        async with Runner([model], make_settings(), retry_seconds=0.001) as runner:
            async with asyncio.timeout(30):
                while runner.queues["shade"].failure:  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0.001)
            assert (await runner.predict("shade", picture(), PARAMS)).result.label == "light"
            assert model.tries == 3

    run(test)


def test_a_model_that_refuses_a_blank_picture_is_loaded_all_the_same():
    """The warm-up is for speed; a refusal is an answer."""

    class Choosy(ShadeModel):
        def postprocess(
            self, output: Any, image_size: tuple[int, int], params: ShadeParams
        ) -> Shade:
            if output == 0:
                raise InvalidInput("send a picture with something on it")
            return super().postprocess(output, image_size, params)

    async def test() -> None:
        async with Runner([Choosy()], make_settings()) as runner:
            assert runner.queues["shade"].failure is None

    run(test)
