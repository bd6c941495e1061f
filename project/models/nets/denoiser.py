"""Denoiser: a small net that predicts the clean latent of a picture from a noisy one and a prompt.

Latents are what a LatentDecoder decodes. The net predicts the clean latent, not the noise: the
latent lies on a low-dimensional manifold, and a small net predicts it better (Li and He 2025,
arXiv:2511.13720).
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

FREQUENCIES = 32  # of the time embedding
MAX_FREQUENCY = 1000.0  # radians over the whole time


class Block(nn.Module):
    """A residual block; the condition scales and shifts its normalised input (FiLM)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.first = nn.Linear(width, width)
        self.film = nn.Linear(condition, 2 * width)
        self.second = nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (n, width); condition: (n, condition). Returns (n, width)."""
        scale, shift = self.film(condition).chunk(2, dim=1)
        inner = self.first(self.norm(x)) * (1 + scale) + shift
        return x + cast("Tensor", self.second(functional.silu(inner)))


class Denoiser(nn.Module):
    """A conditional denoiser of 2.2 million parameters."""

    def __init__(
        self,
        numbers: int,
        prompt: int = 64,
        width: int = 512,
        condition: int = 128,
        blocks: int = 3,
    ) -> None:
        super().__init__()
        self.time = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, condition), nn.SiLU(), nn.Linear(condition, condition)
        )
        self.prompt = nn.Linear(prompt, condition)
        self.first = nn.Linear(numbers, width)
        self.blocks = nn.ModuleList([Block(width, condition) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, numbers)

    def forward(self, noisy: Tensor, time: Tensor, prompt: Tensor) -> Tensor:
        """Predict the clean latents: (n, numbers).

        noisy: (n, numbers). time: (n,), the share of noise in it, 0 to 1. prompt: (n, prompt).
        """
        condition = functional.silu(self.time(time_embedding(time)) + self.prompt(prompt))
        x = self.first(noisy)
        for block in self.blocks:
            x = block(x, condition)
        return cast("Tensor", self.last(self.norm(x)))


def time_embedding(time: Tensor) -> Tensor:
    """Sines and cosines of times (n,), 0 to 1: (n, 2 * FREQUENCIES)."""
    rates = torch.exp(torch.linspace(0, math.log(MAX_FREQUENCY), FREQUENCIES))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
