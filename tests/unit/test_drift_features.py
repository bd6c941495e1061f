"""The features of a picture and of a prediction."""

import pytest
from PIL import Image

from project.inference.drift.features import features_of, measure, measure_picture, measure_text
from project.models.base import Inputs, NoInputs, Picture


@pytest.mark.parametrize("size", [(8, 8), (1, 500), (4000, 10), (3000, 2000)])
def test_a_picture_of_any_size_is_measured(size):
    """A plain one has its colour's luma and no contrast."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.info["sent_size"] = (9, 7)
    assert measure_picture(image) == {"brightness": 76, "contrast": 0, "pixels": 63}


def test_contrast_is_the_spread_of_luma():
    """Half black, half white."""
    image = Image.new("RGB", (100, 100), "white")
    image.paste("black", (0, 0, 50, 100))
    features = measure_picture(image)
    assert (features["brightness"], features["contrast"]) == (
        pytest.approx(127.5),
        pytest.approx(127.5),
    )


@pytest.mark.parametrize(
    ("text", "length", "non_ascii"),
    [("", 0, 0), ("spam", 4, 0), ("für", 3, 1 / 3), ("😀" * 9, 9, 1)],
)
def test_a_text_has_a_length_and_a_share_of_other_letters(text, length, non_ascii):
    """Characters, whatever their bytes."""
    assert measure_text(text) == {"length": length, "non_ascii": pytest.approx(non_ascii)}


class Both(Inputs):
    """A text before a second one, and a picture that may be missing."""

    text: str
    note: str = "x"
    image: Picture | None = None


def test_the_first_picture_and_the_first_text_are_measured():
    """What is not there has no features."""
    assert measure(NoInputs()) == {}
    assert measure(Both(text="four")) == {"length": 4, "non_ascii": 0}
    image = Image.new("RGB", (5, 2))
    assert measure(Both(text="four", image=image))["pixels"] == 10


def test_a_prediction_has_a_label_and_perhaps_a_confidence():
    """A detector without a box has a label alone."""
    measured = {"brightness": 1.0}
    assert features_of(measured, None) == measured
    assert features_of(measured, ("cat", 0.5)) == measured | {"label": "cat", "confidence": 0.5}
    assert features_of(measured, ("nothing", None)) == measured | {"label": "nothing"}
