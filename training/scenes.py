"""Training pictures: a thing in the middle of a coloured background, mirrored or not."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.emoji_names import COLOURS

SIDE = 64  # pixels
SCALE = 52  # pixels that a thing is wide
SHADE = 8  # levels of 255 that a background may be off its colour
MIRRORED = 2  # variants of each thing: as it is, and mirrored
FULL = 255


def layers(pictures: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """(n, MIRRORED, 4, side, side), 0 to 1: each thing on a clear square, its alpha multiplied in.

    pictures: (n, h, w, 4) uint8, the alpha not multiplied in.
    """
    done = np.zeros((len(pictures), MIRRORED, side, side, 4), np.float32)
    scale = SCALE * side // SIDE
    start = (side - scale) // 2
    inside = slice(start, start + scale)
    for index, picture in enumerate(pictures):
        image = Image.fromarray(picture).convert("RGBa")  # multiplied first, so that edges scale
        small = np.asarray(image.resize((scale, scale), Image.Resampling.BICUBIC)) / FULL
        done[index, 0, inside, inside] = small
        done[index, 1, inside, inside] = small[:, ::-1]
    return done.transpose(0, 1, 4, 2, 3)


def composed(layer: Tensor, ground: Tensor) -> Tensor:
    """(n, 3, side, side), -1 to 1, of layers (n, 4, side, side) and colours (n, 3), all 0 to 1."""
    return (layer[:, :3] + (1 - layer[:, 3:]) * ground[..., None, None]) * 2 - 1


def grounds(colours: Tensor, random: torch.Generator) -> Tensor:
    """(n, 3), 0 to 1: a shade of each colour. colours: (n,) indices."""
    exact = torch.tensor(list(COLOURS.values()), dtype=torch.float32)[colours]
    off = (torch.rand(exact.shape, generator=random) * 2 - 1) * SHADE
    return ((exact + off) / FULL).clamp(0, 1)
