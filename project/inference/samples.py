"""Sample inputs of a model, the same at every start: to warm it up, and to compare its backends."""

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from project.models.base import AnyModel, Inputs, Params
from project.models.base.checks import example_params
from project.models.base.inputs import fields_of

SAMPLES = 4
SIDE = 256  # pixels
SAMPLE_TEXT = "A sample text."  # for a text whose model has no example


@cache
def sample_pictures() -> tuple[Image.Image, ...]:
    """Gradients, stripes and noise, SIDE x SIDE, RGB; not to be changed."""
    random = np.random.default_rng(7)
    ramp = np.linspace(0, 255, SIDE)
    pixels = np.zeros((SAMPLES, SIDE, SIDE, 3))
    pixels[0] = ramp[:, None, None]
    pixels[1, ..., 0], pixels[1, ..., 2] = ramp[None, :], ramp[:, None]
    pixels[2] = 255 * (np.arange(SIDE) // 16 % 2)[None, :, None]
    pixels[3] = random.integers(0, 256, (16, 16, 3)).repeat(16, axis=0).repeat(16, axis=1)
    return tuple(Image.fromarray(item.astype(np.uint8)) for item in pixels)


def sample_inputs(model: AnyModel) -> list[Inputs]:
    """SAMPLES inputs: pictures as above, texts by the model's example; not validated."""
    return [_sample(model.inputs, number) for number in range(SAMPLES)]


def sample_params(model: AnyModel) -> Params:
    """Parameters: defaults, and the examples of those that have none."""
    return example_params(model.params)


def _sample(inputs: type[Inputs], number: int) -> Inputs:
    values: dict[str, Any] = {}
    for name, field in fields_of(inputs).items():
        if field.kind == "image":
            values[name] = sample_pictures()[(number + len(values)) % SAMPLES]
        else:
            values[name] = next(iter(field.examples), SAMPLE_TEXT)
    return inputs.model_construct(**values)
