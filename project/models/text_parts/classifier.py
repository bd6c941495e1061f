"""A linear classifier of n-grams: a table of their hashes and weights, and a sum."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from project.errors import ConfigurationError
from project.models.text_parts.ngrams import hashes

MAX_NGRAMS = 4096  # n-grams of a text that count: the first that the table knows
PADDING = 0


class Reason(NamedTuple):
    """An n-gram and what it adds to the logit of the label."""

    text: str
    weight: float


class NgramClassifier:
    """The probability of a class: sigmoid(bias + sum of the weights / sqrt(number of n-grams)).

    These are the n-grams of the text that the table knows, each of them once; others do not count.
    """

    def __init__(self, known: NDArray[Any], weights: NDArray[Any], bias: float) -> None:
        """known: (n,) uint32, hashes, ascending. weights: (n,), one for each hash."""
        ascending = (np.diff(known.astype(np.int64)) > 0).all()
        if known.shape != weights.shape or known.ndim != 1 or not ascending:
            raise ValueError("one weight for each hash, and the hashes in ascending order")
        self._known = known.astype(np.uint32)
        self._weights = np.concatenate([[0], weights]).astype(np.float32)  # row 0: PADDING
        self._bias = bias

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file that `save` writes. Raises ConfigurationError where it is another."""
        try:
            tensors = load_file(path)
            return cls(tensors["hashes"], tensors["weights"], float(tensors["bias"][0]))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ConfigurationError(
                f"{path.name} does not hold hashes and weights of n-grams; restore it, or train it "
                f"again ({type(error).__name__})"
            ) from error

    def save(self, path: Path) -> None:
        """Write hashes, weights and bias as safetensors; the weights as float16."""
        tensors: dict[str, NDArray[Any]] = {
            "hashes": self._known,
            "weights": self._weights[1:].astype(np.float16),
            "bias": np.array([self._bias], np.float32),
        }
        save_file(tensors, path)

    def rows(self, ngrams: Sequence[bytes]) -> NDArray[np.int32]:
        """(MAX_NGRAMS,): the rows of the n-grams in the table; PADDING after them."""
        found = self._rows_of(ngrams)
        found = found[found != PADDING][:MAX_NGRAMS]
        return np.pad(found, (0, MAX_NGRAMS - len(found)))

    def probabilities(self, batch: NDArray[np.int32]) -> NDArray[np.float32]:
        """batch: (n, MAX_NGRAMS), rows of n texts. Returns (n,)."""
        count: NDArray[np.int64] = np.maximum(np.count_nonzero(batch, axis=1), 1)
        sums = np.asarray(self._weights[batch].sum(axis=1), np.float32)
        logits = np.asarray(sums / np.sqrt(count) + self._bias, np.float32)
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)

    def reasons(self, ngrams: Sequence[bytes], count: int, sign: int) -> list[Reason]:
        """The n-grams that weigh most for the class (sign 1) or against it (sign -1)."""
        rows = self._rows_of(ngrams)
        known = int(np.count_nonzero(rows))
        weights: NDArray[np.float32] = sign * self._weights[rows] / np.sqrt(max(1, known))
        best = np.argsort(-weights, kind="stable")[:count].tolist()
        return [
            Reason(ngrams[index].decode(), float(weights[index]))
            for index in best
            if weights[index] > 0
        ]

    def _rows_of(self, ngrams: Sequence[bytes]) -> NDArray[np.int32]:
        """(len(ngrams),): the row of each n-gram; PADDING for those that are not in the table."""
        wanted = hashes(ngrams)
        if not len(self._known):
            return np.zeros(len(wanted), np.int32)
        places = np.searchsorted(self._known, wanted).clip(max=len(self._known) - 1)
        return np.where(self._known[places] == wanted, places + 1, PADDING).astype(np.int32)
