"""Latent codes of pictures: principal components, and scenes composed of them directly.

A scene is its thing plus the background where the thing is clear: linear in the background's
colour. So each thing's numbers are found once, and no pixels are touched while the denoiser learns.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from project.models.nets.latent_decoder import NUMBERS
from training.emoji_names import COLOURS
from training.scenes import FULL, composed

WHITENED = 0.5  # of the spread of numbers: 0 keeps it, 1 makes all equal


class Basis(NamedTuple):
    """Numbers of all things; `of` composes them with a colour."""

    basis: Tensor  # (NUMBERS, 3 * side ** 2): numbers → pixels
    mean: Tensor  # (3 * side ** 2,)
    worth: Tensor  # (NUMBERS,), what an error of each costs in squared pixels; 1 on average
    on_black: Tensor  # (things, MIRRORED, NUMBERS)
    by_colour: Tensor  # (things, MIRRORED, 3, NUMBERS), added for each of red, green and blue

    def of(self, things: Tensor, mirrored: Tensor, ground: Tensor) -> Tensor:
        """(n, NUMBERS). things, mirrored: (n,) indices; ground: (n, 3), 0 to 1."""
        added = torch.einsum("nck,nc->nk", self.by_colour[things, mirrored], ground)
        return self.on_black[things, mirrored] + added


def basis_of(layer: Tensor) -> Basis:
    """Principal components of all things on all colours.

    layer: (things, MIRRORED, 4, side, side), as `layers` gives them.
    """
    flat = layer.flatten(0, 1)
    black = composed(flat, torch.zeros(len(flat), 3))
    scenes = [
        composed(flat, (torch.tensor(colour) / FULL).expand(len(flat), 3)).flatten(1)
        for colour in COLOURS.values()
    ]
    pixels = torch.cat(scenes)
    mean = pixels.mean(0)
    variances, directions = torch.linalg.eigh((pixels - mean).T @ (pixels - mean) / len(pixels))
    kept = variances[-NUMBERS:].flip(0)
    print(f"{NUMBERS} numbers hold {kept.sum() / variances.sum():.1%} of the variance", flush=True)
    directions = directions[:, -NUMBERS:].flip(1)  # (pixels, NUMBERS)
    scales = kept.sqrt() ** WHITENED
    scales = scales * (kept / scales.square()).mean().sqrt()  # a number's variance is 1 on average
    into = directions / scales
    red_green_blue = [
        ((composed(flat, axis.expand(len(flat), 3)) - black).flatten(1) @ into)
        for axis in torch.eye(3)
    ]
    shape = layer.shape[:2]
    return Basis(
        basis=(directions * scales).T.contiguous(),
        mean=mean,
        worth=scales.square() / scales.square().mean(),
        on_black=((black.flatten(1) - mean) @ into).reshape(*shape, NUMBERS),
        by_colour=torch.stack(red_green_blue, 1).reshape(*shape, 3, NUMBERS),
    )
