"""Which inputs share a forward pass: those of one shape, and no more than memory is meant for."""

import asyncio
from typing import Any

import numpy as np
import pytest

from project.inference.images.decoding import ImageLimits
from project.models.base import Array, ImageInput
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel, ShadeParams
from tests.runners import serving, until_waiting
from tests.samples import sample

pytestmark = pytest.mark.anyio
PARAMS = ShadeParams()


class AnySize(ShadeModel):
    """Takes pictures as they are, and keeps the shapes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def preprocess(self, inputs: ImageInput, params: ShadeParams) -> Array:
        return np.asarray(inputs.image.convert("L"), dtype=np.float32)

    def forward(self, batch: Array) -> Any:
        self.shapes.append(batch.shape)
        return super().forward(batch)


async def predict_all(model: ShadeModel, sides: list[int], **options: Any) -> None:
    """Have pictures of these sides wait for one thread, then predict them."""
    async with serving(make_settings(), model, streams=1, batch=8, **options) as runner:
        model.go_on.clear()
        first = asyncio.create_task(runner.predict("shade", {"image": picture()}, PARAMS))
        await asyncio.to_thread(model.entered.wait)
        rest = [
            asyncio.create_task(
                runner.predict("shade", {"image": picture(size=(side, side))}, PARAMS)
            )
            for side in sides
        ]
        await until_waiting(runner, len(sides))
        model.go_on.set()
        results = [(await task).result for task in (first, *rest)]
    assert {result.label for result in results} == {"light"}


async def test_inputs_of_one_shape_share_a_pass():
    """In the order of their arrival; none is predicted by itself because of another."""
    model = AnySize()
    before = sample("inference_batch_failures_total", model="shade")
    await predict_all(model, [16, 16, 16, 24, 24, 16])
    shapes = model.shapes[-4:]
    assert shapes[0][1:] == (32, 32)
    assert shapes[1:] == [(3, 16, 16), (2, 24, 24), (1, 16, 16)]
    assert sample("inference_batch_failures_total", model="shade") == before


async def test_no_more_pictures_are_decoded_than_memory_is_meant_for():
    """They live until their results: the net runs on what is there."""
    model = ShadeModel()
    limits = ImageLimits(max_pixels=3 * 32 * 32, min_side=8)
    await predict_all(model, [32] * 8, limits=limits)
    assert max(model.batches) == 4
    assert sum(model.batches[1:]) == 8
