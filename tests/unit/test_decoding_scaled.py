"""Large JPEGs are decoded at a fraction of their size, and the model's result stays the same."""

import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from project.inference.backends.selection import prepare_net
from project.inference.encoding import usual_encoding
from project.inference.images.decoding import OVERSAMPLING, ImageLimits, decode
from project.inference.pipeline import Pipeline
from project.models.base import Inputs, Picture, picture, sent_size
from project.models.base.inputs import fields_of
from project.models.classification import Classification, Photo, TopK
from tests import corpus
from tests.fakes import ShadeModel, ShadeParams
from tests.photos import WHERE, photo

LIMITS = ImageLimits(max_pixels=50_000_000, min_side=8)
USEFUL_SIDE = fields_of(Photo)["image"].useful_side
LARGEST_DIFFERENCE = 0.03  # of any of the 1,000 probabilities


@functools.cache
def classification() -> Classification:
    model = Classification("classification")
    model.load()
    prepare_net(model, "torch", streams=1, cache=Path("never written"))
    return model


def large_jpeg(name: str, **options: object) -> bytes:
    """A photo enlarged to four times its sides, as a camera would save it."""
    image = Image.open(photo(name)).convert("RGB")
    size = (4 * image.width, 4 * image.height)
    return corpus.encoded(image.resize(size, Image.Resampling.LANCZOS), "JPEG", **options)


@pytest.mark.parametrize("name", WHERE)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_photo_is_classified_the_same_whichever_way_it_is_decoded(name, progressive):
    """The same class comes first, and no probability moves by more than the bound."""
    model, params = classification(), TopK()
    data = large_jpeg(name, quality=90, progressive=progressive)
    plain, scaled = decode(data, LIMITS), decode(data, LIMITS, USEFUL_SIDE)
    assert scaled.size == plain.size == plain.image.size
    assert min(scaled.image.size) < min(plain.image.size)
    inputs = (Photo(image=each.image) for each in (plain, scaled))
    expected, given = model.forward(np.stack([model.preprocess(it, params) for it in inputs]))
    assert expected.argmax() == given.argmax()
    assert np.abs(expected - given).max() < LARGEST_DIFFERENCE


@pytest.mark.parametrize(
    ("size", "useful_side", "expected"),
    [
        ((1024, 1024), 256, (512, 512)),
        ((1023, 1024), 256, (1023, 1024)),  # a half would be too small by half a pixel
        ((1100, 4000), 256, (550, 2000)),
        ((2049, 2100), 256, (513, 525)),
        ((4096, 4096), 16, (512, 512)),  # an eighth is all that JPEG's decoder knows
        ((4096, 4096), None, (4096, 4096)),
    ],
)
def test_no_more_is_left_out_than_the_model_can_spare(size, useful_side, expected):
    """The shorter side keeps twice what the model can use."""
    data = corpus.encoded(Image.new("RGB", size), "JPEG")
    decoded = decode(data, LIMITS, useful_side)
    assert decoded.image.size == expected
    assert decoded.size == size
    if useful_side:
        assert min(decoded.image.size) >= min(*size, OVERSAMPLING * useful_side)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_photo_is_turned_upright_all_the_same(orientation):
    """And its size is the upright one as sent, though fewer pixels were decoded."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = corpus.encoded(Image.new("RGB", (1200, 800)), "JPEG", exif=exif)
    decoded = decode(data, LIMITS, 200)
    on_its_side = orientation >= 5
    assert decoded.size == ((800, 1200) if on_its_side else (1200, 800))
    assert decoded.image.size == ((400, 600) if on_its_side else (600, 400))


class Small(Inputs):
    """A picture of which the model uses little."""

    image: Picture = picture(useful_side=100)


def test_a_model_is_told_the_size_as_sent():
    """Boxes and points are in the pixels of the image as sent, whatever was decoded."""
    model = ShadeModel()
    model.inputs = Small
    data = corpus.encoded(Image.new("RGB", (1600, 800)), "JPEG")
    item = Pipeline(model, LIMITS).prepare({"image": data}, ShadeParams(), usual_encoding(model))
    assert item.inputs.image.size == (400, 200)
    assert sent_size(item.inputs.image) == (1600, 800)
    assert item.pixels == 400 * 200
