"""style_transfer: the style changes, the content stays, the ratio leads from one to the other."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from project.models import create
from project.models.style_transfer import MAX_SIDE, MIN_SIDE, MULTIPLE, Blend, Pictures, padding_of
from tests.photos import photo
from tests.steps import finished

ROOT = Path(__file__).parents[2]
GROWTH = """
import random, psutil
from PIL import Image
from project.models.style_transfer import Blend, Pictures, StyleTransfer
from tests.photos import photo
from tests.steps import finished
model = StyleTransfer("style_transfer")
model.load()
style = Image.open(photo("china")).convert("RGB")
def paint(size):
    finished(model.steps(Pictures(content=style.resize(size), style=style), Blend()))
paint((304, 304))
before = psutil.Process().memory_info().rss
random.seed(1)
for _ in range(100):
    paint((4 * random.randint(25, 75), 4 * random.randint(25, 75)))
print((psutil.Process().memory_info().rss - before) / 2**20)
"""


@pytest.fixture(scope="module")
def model():
    (model,) = create(["style_transfer"])
    model.load()
    return model


def picture(name: str) -> Image.Image:
    return Image.open(photo(name)).convert("RGB")


def painted(model, content: Image.Image, style: Image.Image, ratio: float = 1.0) -> Image.Image:
    """The content as a job would return it."""
    steps = model.steps(Pictures(content=content, style=style), Blend(blending_ratio=ratio))
    return finished(steps)[1]


def apart(first: Image.Image, second: Image.Image) -> float:
    """Mean difference of two pictures, in levels of 255."""
    return float(np.abs(np.asarray(first, float) - np.asarray(second, float)).mean())


def edges(image: Image.Image) -> np.ndarray:
    """Where a picture's brightness changes over some pixels, whatever its colours."""
    small = np.asarray(image.convert("L").reduce(4), float)
    return np.hypot(*np.gradient(small)).ravel()


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "china"])
def test_the_ratio_leads_from_the_own_style_to_the_other(model, name):
    """Each quarter is further from the one and nearer to the other."""
    results = [
        painted(model, picture(name), picture("flower"), quarter / 4) for quarter in range(5)
    ]
    own, other = results[0], results[-1]
    from_own = [apart(own, result) for result in results]
    to_other = [apart(other, result) for result in results]
    assert from_own == sorted(from_own)
    assert to_other == sorted(to_other, reverse=True)
    assert from_own[-1] > 20


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "china"])
def test_a_ratio_of_nought_is_near_the_content(model, name):
    """Nearer than in the style of another picture, edges and all."""
    content = picture(name)
    own, other = (painted(model, content, picture("rocket"), ratio) for ratio in (0, 1))
    assert apart(content, own) < 40
    assert apart(content, own) < 0.6 * apart(content, other)
    assert np.corrcoef(edges(content), edges(own))[0, 1] > 0.8


def test_a_ratio_of_nought_does_not_depend_on_the_style(model):
    """The content is painted in the style that it has."""
    content = picture("chelsea")
    results = [painted(model, content, picture(name), 0) for name in ("flower", "china")]
    assert apart(*results) == 0


def test_the_colours_come_from_the_style(model):
    """The same cat is reddish after a flower and bluish after a blue pattern."""
    blue = np.zeros((256, 256, 3), np.uint8)
    blue[..., 2] = np.random.default_rng(0).integers(100, 256, (32, 32)).repeat(8, 0).repeat(8, 1)
    content = picture("chelsea")
    of_blue = np.asarray(painted(model, content, Image.fromarray(blue)), float).mean((0, 1))
    of_flower = np.asarray(painted(model, content, picture("flower")), float).mean((0, 1))
    assert of_blue[2] > of_blue[0] + 30
    assert of_flower[0] > of_flower[2] + 20


@pytest.mark.parametrize("style", ["flower", "coffee"])
def test_the_content_stays(model, style):
    """Edges are where they were, and nowhere near those of another picture."""
    content, other = picture("astronaut"), picture("china").resize((512, 512))
    found = edges(painted(model, content, picture(style)))
    assert np.corrcoef(found, edges(content))[0, 1] > 0.5
    assert abs(np.corrcoef(found, edges(other))[0, 1]) < 0.2


def test_the_result_is_a_picture_as_large_as_the_content(model):
    """RGB, to the pixel, be the size a multiple of what the net halves or not."""
    for size in [(64, 48), (65, 47), (66, 50), (131, 101), (8, 8), (9, 300), (700, 8)]:
        result = painted(model, picture("coffee").resize(size), picture("flower"))
        assert (result.mode, result.size) == ("RGB", size)


def test_a_large_content_is_painted_reduced(model):
    """So that time and memory are bounded; its shape stays."""
    result = painted(model, picture("coffee").resize((3000, 2000)), picture("flower"))
    assert result.size == (MAX_SIDE, round(MAX_SIDE * 2 / 3))
    thin = painted(model, Image.new("RGB", (100_000, 8), "red"), picture("flower"))
    assert thin.size == (MAX_SIDE, 1)


def test_the_border_is_painted_like_the_rest(model):
    """What is added to the picture for the net's sake leaves no seam."""
    content = picture("china").crop((0, 0, 253, 251))
    result = np.asarray(painted(model, content, picture("flower")), float)
    rows = np.abs(np.diff(result, axis=0)).mean((1, 2))
    columns = np.abs(np.diff(result, axis=1)).mean((0, 2))
    assert rows[-4:].max() <= rows.max()
    assert columns[-4:].max() <= columns.max()


def test_progress_is_told_between_the_steps(model):
    """After reading each of the two styles; painting is the last step."""
    images = Pictures(content=picture("chelsea"), style=picture("flower"))
    shares, _ = finished(model.steps(images, Blend()))
    assert shares == sorted(shares)
    assert len(shares) == 2
    assert 0 < shares[0] < shares[1] < 1


def test_jobs_may_run_at_once(model):
    """Each gets the picture that it would get alone."""
    names = ["chelsea", "coffee", "astronaut", "china"] * 2
    alone = {name: painted(model, picture(name), picture("flower")) for name in set(names)}
    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda name: painted(model, picture(name), picture("flower")), names)
        )
    assert [apart(alone[name], result) for name, result in zip(names, together, strict=True)] == [
        0
    ] * len(names)


def test_memory_does_not_grow_with_the_number_of_sizes():
    """A hundred of them, none larger than the first; kept kernels would take 200 MB."""
    done = subprocess.run(
        [sys.executable, "-c", GROWTH], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 100


@pytest.mark.parametrize("side", range(1, 20))
def test_a_side_is_filled_up_to_what_the_net_halves(side):
    """And by no more than that."""
    filled = side + padding_of(side)
    assert filled % MULTIPLE == 0
    assert filled >= MIN_SIDE
    assert filled - side < max(MULTIPLE, MIN_SIDE - side + 1)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_the_ratio_has_bounds(ratio):
    """Beyond them no style lies between the two."""
    with pytest.raises(ValidationError):
        Blend(blending_ratio=ratio)
