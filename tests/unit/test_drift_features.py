"""The features of a picture and of a prediction."""

import pytest
from PIL import Image

from project.inference.drift.features import features_of, measure_image


@pytest.mark.parametrize("size", [(8, 8), (1, 500), (4000, 10), (3000, 2000)])
def test_a_picture_of_any_size_is_measured(size):
    """A plain one has its colour's luma and no contrast."""
    features = measure_image(Image.new("RGB", size, (255, 0, 0)), (9, 7))
    assert (features.brightness, features.contrast, features.pixels) == (76, 0, 63)


def test_contrast_is_the_spread_of_luma():
    """Half black, half white."""
    image = Image.new("RGB", (100, 100), "white")
    image.paste("black", (0, 0, 50, 100))
    features = measure_image(image, image.size)
    assert (features.brightness, features.contrast) == (pytest.approx(127.5), pytest.approx(127.5))
    assert features_of(features, None).keys() == {"brightness", "contrast", "pixels"}
    assert features_of(features, ("cat", 0.5))["label"] == "cat"
