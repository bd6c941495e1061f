"""LatentDecoder: decodes a latent vector into pixels, roughly by a linear basis, then by a CNN."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

NUMBERS = 224  # of a latent: principal components, 98.8 % of the variance of the training pictures
ROUGH_SIDE = 32  # pixels
SIDE = 2 * ROUGH_SIDE


class LatentDecoder(nn.Module):
    """A decoder of 0.8 million parameters, most of them in the basis."""

    basis: Tensor  # (NUMBERS, 3 * ROUGH_SIDE ** 2)
    mean: Tensor  # (3 * ROUGH_SIDE ** 2,), the picture of the zero latent

    def __init__(self, width: int = 48, blocks: int = 3) -> None:
        super().__init__()
        self.register_buffer("basis", torch.zeros(NUMBERS, 3 * ROUGH_SIDE**2))
        self.register_buffer("mean", torch.zeros(3 * ROUGH_SIDE**2))
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList([Block(width) for _ in range(blocks)])
        self.last = nn.Conv2d(width, 3 * 2**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def rough(self, numbers: Tensor) -> Tensor:
        """numbers: (n, NUMBERS). Returns (n, 3, ROUGH_SIDE, ROUGH_SIDE), about -1 to 1."""
        return (numbers @ self.basis + self.mean).reshape(-1, 3, ROUGH_SIDE, ROUGH_SIDE)

    def forward(self, rough: Tensor) -> Tensor:
        """rough: (n, 3, ROUGH_SIDE, ROUGH_SIDE). Returns (n, 3, SIDE, SIDE), about -1 to 1."""
        large = functional.interpolate(
            rough, scale_factor=2.0, mode="bilinear", align_corners=False
        )
        x = self.first(rough)
        for block in self.blocks:
            x = block(x)
        return large + functional.pixel_shuffle(self.last(x), 2)


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, width, h, w). Returns the same shape."""
        inner = functional.silu(self.first(functional.silu(x)))
        return x + cast("Tensor", self.second(inner))
