"""The levels of a picture's pyramid, side by side on one canvas, so that P-Net runs once.

A window of P-Net that lies within a level sees nothing of the others, so what it gives is what it
would give for the level alone; windows over the seams are left out. One canvas has one shape for
each shape of pictures, for which a compiled net keeps its kernels; levels would have nine.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from project.models.base import Array

WINDOW, STRIDE = 12, 2  # of P-Net, pixels
IN_A_ROW = 3  # the levels that lie side by side; the others fit below the second and the third
FACTOR = 0.709  # from level to level, about √½ as in the paper


@dataclass(frozen=True, slots=True)
class Level:
    """Where a level is on the canvas, pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Windows:
    """P-Net's windows. cells: (n,) indices into a flat map. boxes: (n, 4) pixels of the picture."""

    cells: Array
    boxes: Array


@dataclass(frozen=True)
class Pyramid:
    """The layout for pictures of one shape, the largest level first."""

    width: int
    height: int
    levels: tuple[Level, ...]
    windows: Windows

    def canvas_of(self, picture: Array) -> Array:
        """Scale a picture (h, w, 3) to every level: (height, width, 3)."""
        canvas = np.zeros((self.height, self.width, 3), np.uint8)
        for level in self.levels:
            # Every level is made of the one before: smaller pictures take less time.
            picture = cv2.resize(picture, (level.width, level.height), interpolation=cv2.INTER_AREA)
            canvas[level.y : level.y + level.height, level.x : level.x + level.width] = picture
        return canvas


@cache
def pyramid_of(height: int, width: int, first: float) -> Pyramid:
    """The layout for pictures of a shape. first: scale of the first level."""
    sizes = []
    scale = first
    while min(height, width) * scale >= WINDOW:
        sizes.append((round(width * scale), round(height * scale)))
        scale *= FACTOR
    places, canvas = _places([(_even(w), _even(h)) for w, h in sizes])
    levels = tuple(Level(*place, *size) for place, size in zip(places, sizes, strict=True))
    columns = (canvas[0] - WINDOW) // STRIDE + 1  # of P-Net's map
    cells, boxes = [], []
    for level in levels:
        x, y = np.meshgrid(
            np.arange(0, level.width - WINDOW + 1, STRIDE),
            np.arange(0, level.height - WINDOW + 1, STRIDE),
        )
        cells.append(((y + level.y) // STRIDE * columns + (x + level.x) // STRIDE).ravel())
        corners = np.stack([x, y, x + WINDOW, y + WINDOW], axis=-1).reshape(-1, 4)
        to_picture = np.array([width / level.width, height / level.height])
        boxes.append(corners * np.tile(to_picture, 2))
    windows = Windows(np.concatenate(cells), np.concatenate(boxes).astype(np.float32))
    return Pyramid(*canvas, levels, windows)


def _even(side: int) -> int:
    return side + side % STRIDE


def _places(sizes: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Where each level lies, and the canvas that they need: the first ones in a row.

    Each later one goes into the free rectangle with the least height that holds it.
    """
    places: list[tuple[int, int]] = []
    free: list[tuple[int, int, int, int]] = []  # x, y, width, height
    x = 0
    height = sizes[0][1]
    for number, (w, h) in enumerate(sizes):
        holes = [hole for hole in free if w <= hole[2] and h <= hole[3]]
        if number < IN_A_ROW or not holes:
            places.append((x, 0))
            free.append((x, h, w, height - h))
            x += w
            continue
        hole = min(holes, key=lambda hole: hole[3])
        free.remove(hole)
        left, upper, wide, high = hole
        places.append((left, upper))
        free += [(left + w, upper, wide - w, high), (left, upper + h, w, high - h)]
    return places, (x, height)
