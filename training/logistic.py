"""Logistic regression of n-grams in torch: a sparse matrix of features, and weights by L-BFGS."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, embedding_bag

ITERATIONS = 100  # of L-BFGS; later ones change no third digit of the loss


class Features:
    """Which known n-grams each text has: a sparse matrix (texts, known), rows of length 1.

    It is kept by text and by n-gram, as both products are sums of bags: torch's own sparse matrices
    are in beta, and the gradient of embedding_bag takes 60 times as long as its sum.
    """

    def __init__(self, known: NDArray[np.uint32], texts: Sequence[NDArray[np.uint32]]) -> None:
        """known: hashes, ascending. texts: for each text the hashes of its n-grams, each once."""
        hashes = np.concatenate(texts)
        text = np.repeat(np.arange(len(texts)), [len(one) for one in texts])
        row = np.searchsorted(known, hashes).clip(max=len(known) - 1)
        found = known[row] == hashes
        text, row = torch.from_numpy(text[found]), torch.from_numpy(row[found])
        counts = torch.bincount(text, minlength=len(texts))
        self._scale = counts.clamp(min=1).rsqrt()  # (texts,)
        self._by_text = row, _offsets(counts)
        by_row = torch.argsort(row, stable=True)
        self._by_row = text[by_row], _offsets(torch.bincount(row, minlength=len(known)))
        self.known = len(known)

    def times(self, weights: Tensor) -> Tensor:
        """The product with weights (known,): (texts,)."""
        return _sums(weights, *self._by_text) * self._scale

    def transposed_times(self, residuals: Tensor) -> Tensor:
        """The product of the transposed matrix with residuals (texts,): (known,)."""
        return _sums(residuals * self._scale, *self._by_row)


def _offsets(counts: Tensor) -> Tensor:
    return counts.cumsum(0) - counts


def _sums(values: Tensor, indices: Tensor, offsets: Tensor) -> Tensor:
    return embedding_bag(indices, values[:, None], offsets, mode="sum")[:, 0]


@torch.no_grad()
def fit(data: Features, labels: Tensor, l2: float) -> tuple[Tensor, Tensor]:
    """Minimise the mean cross-entropy + l2 * the squared norm of the weights; the bias is free.

    labels: (texts,) 0 or 1. Returns weights (known,) and bias ().
    """
    weights, bias = torch.zeros(data.known), torch.zeros(())
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        logits = data.times(weights) + bias
        residuals = (logits.sigmoid() - labels) / len(labels)
        weights.grad = data.transposed_times(residuals) + 2 * l2 * weights
        bias.grad = residuals.sum()
        return binary_cross_entropy_with_logits(logits, labels) + l2 * weights.square().sum()

    optimizer.step(loss)
    return weights, bias
