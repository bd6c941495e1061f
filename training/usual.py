"""The demo baseline of classification: variations of photos that scikit-image brings along.

`.venv/bin/python -m training.usual` writes project/models/files/classification.baseline.json.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from skimage import data

from project.cli.drift import baseline

SEED = 20
COUNT = 1200
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "stereo_motorcycle")
MIN_SHARE = 0.5  # of a photo's width and height, each, that is left of it
STOPS = 0.7  # of exposure, at most, up or down


def variations(seed: int, count: int) -> Iterator[Image.Image]:
    """Crops of the photos, some mirrored, some darker, some lighter; the same for the same seed."""
    dice = np.random.default_rng(seed)
    photos = [Image.fromarray(_pixels(name)) for name in PHOTOS]
    for _ in range(count):
        photo = photos[dice.integers(len(photos))]
        width, height = (round(side * dice.uniform(MIN_SHARE, 1)) for side in photo.size)
        left = int(dice.integers(photo.width - width + 1))
        top = int(dice.integers(photo.height - height + 1))
        piece = photo.crop((left, top, left + width, top + height))
        if dice.random() < 0.5:  # noqa: PLR2004 - heads or tails
            piece = ImageOps.mirror(piece)
        factor = 2 ** dice.uniform(-STOPS, STOPS)
        yield piece.point(lambda value, factor=factor: min(255, round(value * factor)))


def _pixels(name: str) -> np.ndarray:
    loaded = getattr(data, name)()
    return loaded[0] if isinstance(loaded, tuple) else loaded  # of a stereo pair, one eye's


def main() -> None:
    """Make the pictures, and the baseline from them as anybody makes theirs."""
    with tempfile.TemporaryDirectory() as folder:
        for number, picture in enumerate(variations(SEED, COUNT)):
            picture.save(Path(folder) / f"{number:05}.png")
        baseline(Path(folder), model="classification", out=None)


if __name__ == "__main__":
    main()
