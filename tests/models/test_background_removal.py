"""background_removal: the subject stays, the rest is clear, and the edge is as thin as it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pydantic import ValidationError

from project.errors import InvalidInput
from project.models import create
from project.models.background_removal import MAX_PIXELS, Rectangle, box_of, edge, reduced
from project.models.base import ImageInput
from tests.photos import photo
from tests.steps import finished


def cut_out(image: Image.Image, **params: float) -> Image.Image:
    """The picture as a job would return it."""
    (model,) = create(["background_removal"])
    model.load()
    return finished(model.steps(ImageInput(image=image), Rectangle(**params)))[1]


def alpha_of(image: Image.Image) -> np.ndarray:
    return np.asarray(image.getchannel("A"))


def disc(side: int) -> Image.Image:
    """A disc of half that diameter in the middle, red on blue, with a little grain."""
    picture = Image.new("RGB", (side, side), (40, 60, 200))
    ImageDraw.Draw(picture).ellipse([side // 4, side // 4, side * 3 // 4, side * 3 // 4], "#c83c28")
    grain = np.random.default_rng(0).integers(-8, 9, (side, side, 3))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "share", "inside", "outside"),
    [
        ("flower", 0.20, [(320, 220), (230, 220), (410, 220), (320, 130)], [(100, 100)]),
        ("coffee", 0.43, [(290, 120), (200, 250), (200, 150), (440, 250)], [(60, 350)]),
    ],
)
def test_the_subject_is_opaque_and_the_corners_are_clear(name, share, inside, outside):
    """Photos of a flower and of a cup on its saucer, with the rectangle that is the default."""
    alpha = alpha_of(cut_out(Image.open(photo(name)).convert("RGB")))
    height, width = alpha.shape
    corners = [(x, y) for x in (0, width - 1) for y in (0, height - 1)]
    assert {int(alpha[y, x]) for x, y in inside} == {255}
    assert {int(alpha[y, x]) for x, y in [*corners, *outside]} == {0}
    assert (alpha > 127).mean() == pytest.approx(share, abs=0.04)


def test_specks_are_neither_left_nor_cut_out():
    """A dot beside the disc goes, a dot in it is filled; a part of some size stays."""
    image = disc(200)
    draw = ImageDraw.Draw(image)
    draw.rectangle([20, 20, 23, 23], fill="#c83c28")
    draw.rectangle([98, 98, 101, 101], fill=(40, 60, 200))
    draw.rectangle([150, 150, 180, 180], fill="#c83c28")
    alpha = alpha_of(cut_out(image))
    assert alpha[22, 22] == 0
    assert alpha[100, 100] == 255
    assert alpha[165, 165] == 255


@pytest.mark.parametrize("side", [200, 400, 3000])
def test_a_disc_is_found_to_the_pixel_with_an_edge_of_about_one(side):
    """However large the picture is: it is cut at reduced size, and its edge made steep again."""
    alpha = alpha_of(cut_out(disc(side)))
    assert alpha.shape == (side, side)
    y, x = np.mgrid[:side, :side]
    inside = np.hypot(x - side / 2, y - side / 2) < side / 4
    assert ((alpha > 127) != inside).mean() < 0.005
    between = (alpha > 0) & (alpha < 255)
    assert between.sum() < 3 * np.pi * side / 2


@pytest.mark.parametrize("scale", [1.0, 1.7, 3.0, 10.0])
def test_an_edge_is_as_wide_as_a_pixel_at_any_scale(scale):
    """Neither a staircase nor a blur."""
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20:] = 255
    alpha = np.asarray(edge(mask, (round(40 * scale), 40)))
    assert set(alpha[:, 0]) == {0}
    assert set(alpha[:, -1]) == {255}
    assert 1 <= ((alpha[20] > 0) & (alpha[20] < 255)).sum() <= 3
    assert (np.diff(alpha[20].astype(int)) >= 0).all()


def test_what_is_cut_away_is_gone():
    """A program that drops the alpha channel does not show the background again."""
    result = cut_out(disc(200))
    pixels = np.asarray(result)
    assert not pixels[pixels[..., 3] == 0].any()
    middle = pixels[100, 100]
    assert tuple(middle[:3]) == disc(200).getpixel((100, 100))


def test_progress_is_told_after_each_iteration():
    """So that a job can report it, and be cancelled."""
    (model,) = create(["background_removal"])
    shares, _ = finished(model.steps(ImageInput(image=disc(64)), Rectangle(iterations=4)))
    assert shares == [0.2, 0.4, 0.6, 0.8]


def test_the_same_picture_is_always_cut_the_same():
    """A job that runs again gives what it gave."""
    image = Image.open(photo("chelsea")).convert("RGB")
    assert cut_out(image, iterations=2) == cut_out(image, iterations=2)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"width": 0}, "width"),
        ({"height": 0}, "height"),
        ({"x": 1}, "width"),
        ({"y": 1}, "height"),
        ({"width": 0.001}, "width"),
    ],
)
def test_a_rectangle_that_covers_nothing_is_refused_with_advice(params, field):
    """The client reads what to draw, and which parameter was wrong."""
    with pytest.raises(InvalidInput, match="draw it around the subject") as caught:
        cut_out(disc(64), **params)
    assert list(caught.value.fields) == [field]


def test_a_rectangle_that_covers_everything_is_refused_with_advice():
    """Nothing is left to learn the background from."""
    with pytest.raises(InvalidInput, match="leave some of the background outside"):
        cut_out(disc(64), x=0, y=0, width=1, height=1)


def test_a_picture_of_one_colour_is_refused_with_advice():
    """An empty picture would be no answer."""
    with pytest.raises(InvalidInput, match="nothing in the rectangle differs"):
        cut_out(Image.new("RGB", (64, 64), "grey"))


@pytest.mark.parametrize(
    "params",
    [{"x": -0.1}, {"y": 1.1}, {"width": float("nan")}, {"iterations": 0}, {"iterations": 11}],
)
def test_parameters_have_bounds(params):
    """A share is one, and no job runs for ever."""
    with pytest.raises(ValidationError):
        Rectangle(**params)


share = st.floats(0, 1)


@settings(max_examples=300)
@given(share, share, share, share, st.integers(1, 300), st.integers(1, 300))
def test_a_box_lies_inside_the_picture_and_leaves_something_outside(x, y, width, height, w, h):
    """Whatever is asked for, or it is refused."""
    try:
        left, top, across, down = box_of(Rectangle(x=x, y=y, width=width, height=height), (w, h))
    except InvalidInput:
        return
    assert across > 0
    assert down > 0
    assert 0 <= left <= left + across <= w
    assert 0 <= top <= top + down <= h
    assert across * down < w * h


@settings(max_examples=60)
@given(share, share, share, share, st.integers(8, 24), st.integers(8, 24), st.integers(0, 99))
def test_any_rectangle_on_any_picture_is_cut_or_refused(x, y, width, height, w, h, seed):
    """OpenCV's own errors never reach a client."""
    pixels = np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)
    pixels[pixels < seed] = 0  # from noise to few colours
    try:
        result = cut_out(Image.fromarray(pixels), x=x, y=y, width=width, height=height)
    except InvalidInput:
        return
    assert result.mode == "RGBA"
    assert result.size == (w, h)


@pytest.mark.parametrize("size", [(8, 8), (640, 427), (5000, 3000), (8, 600_000), (600_000, 8)])
def test_a_big_picture_is_cut_at_reduced_size(size):
    """So that a cut takes seconds at most; a small one is cut as it is."""
    small = reduced(Image.new("RGB", size))
    assert small.width * small.height <= max(MAX_PIXELS, *size)
    if size[0] * size[1] <= MAX_PIXELS:
        assert small.size == size
