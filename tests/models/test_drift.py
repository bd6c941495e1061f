"""The committed baseline of classification, with the real model: what is usual, and what is not."""

import asyncio
import io
from itertools import islice

import numpy as np
import pytest
from PIL import Image, ImageOps

from project import models
from project.inference.runner import Runner
from tests.conftest import make_settings
from training.usual import SEED, variations

DRIFT = 0.25  # above it the alert fires
COUNT, FEW = 150, 100  # by chance alone, fewer photos give a higher index than more
SIDES = (300, 420)


def usual(count):
    """Photos of the kind that the baseline was made from, but none of those."""
    return variations(SEED + 1, count)


def inverted(count):
    """Negatives of such photos, as a bug in a client makes them."""
    return (ImageOps.invert(image) for image in usual(count))


def noise(count):
    """What a sensor without a lens gives."""
    dice = np.random.default_rng(5)
    for _ in range(count):
        pixels = dice.integers(0, 256, (*SIDES, 3), dtype=np.uint8)
        yield Image.fromarray(pixels)


def constant(count):
    """A camera with its lid on."""
    return (Image.new("RGB", SIDES, (12, 12, 12)) for _ in range(count))


async def drift_of(images):
    """Feature → PSI after these pictures went through the model as requests do."""
    (model,) = models.create(["classification"])
    settings = make_settings(queue_seconds=60)
    async with Runner.of([model], settings) as runner:

        async def predict(image):
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=1)
            await runner.predict(model.name, {"image": buffer.getvalue()}, model.params())

        rest = iter(images)
        while some := list(islice(rest, 8)):
            await asyncio.gather(*map(predict, some))
        psi, samples = runner.drift.collect()
    (counted,) = samples.samples
    assert counted.labels == {"model": "classification"}
    return counted.value, {sample.labels["feature"]: sample.value for sample in psi.samples}


def test_ordinary_photos_are_no_drift():
    """What is left is chance: a twentieth for the numbers, a little more for the labels."""
    counted, psi = asyncio.run(drift_of(usual(COUNT)))
    assert counted == COUNT
    assert len(psi) == 5
    assert max(psi.values()) < 0.15, psi


@pytest.mark.parametrize(
    ("images", "features"),
    [
        (inverted, {"brightness"}),
        (noise, {"contrast", "label", "confidence", "pixels"}),
        (constant, {"brightness", "contrast", "label", "confidence", "pixels"}),
    ],
)
def test_what_is_not_usual_is_drift(images, features):
    """And the features that show it say what it is."""
    counted, psi = asyncio.run(drift_of(images(FEW)))
    assert counted == FEW
    assert {name for name, value in psi.items() if value > DRIFT} >= features, psi
