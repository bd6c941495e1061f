"""A model with a small net, for what is done to nets."""

from typing import Any

import numpy as np
import torch
from torch import nn

from tests.fakes import ShadeModel


class Small(nn.Module):
    """A little of each: convolution, normalisation, a choice of classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU6())
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, 1, h, w). Returns (n, 5)."""
        scores: torch.Tensor = self.head(self.body(x).mean(dim=(2, 3)))
        return scores


class NetModel(ShadeModel):
    """A model with a torch module in `net`, as authors write it."""

    def load(self) -> None:
        self.net = Small().eval()

    def preprocess(self, image: Any, params: Any) -> Any:
        return super().preprocess(image, params)[None] / 255  # (1, 8, 8)

    def forward(self, batch: Any) -> Any:
        with torch.inference_mode():
            return self.net(torch.from_numpy(batch)).numpy()


def batch(count: int) -> Any:
    return np.random.default_rng(5).random((count, 1, 8, 8), dtype=np.float32)
