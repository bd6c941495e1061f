"""PromptEncoder: a small transformer that encodes the tokens of a prompt as one vector."""

from typing import cast

import torch
from torch import Tensor, nn

PADDING = 0  # the token that fills a prompt up; it is masked


class PromptEncoder(nn.Module):
    """Attends between words: which colour is the background's, and which the apple's."""

    def __init__(self, words: int, length: int, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (n, length) int64, at least one of each prompt not PADDING. Returns (n, width).

        The tokens are summed: a word then counts from the first training step on, before attention
        has learned to find it.
        """
        seen = tokens != PADDING
        longest = int(seen.sum(1).max())
        tokens, seen = tokens[:, :longest], seen[:, :longest]
        places = self.places[:longest]
        x = self.layers(self.words(tokens) + places, src_key_padding_mask=~seen)
        total = (x * seen[..., None]).sum(1) / seen.sum(1, keepdim=True).sqrt()
        return cast("Tensor", self.norm(total))
