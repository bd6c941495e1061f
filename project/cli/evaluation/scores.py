"""Counts how often a model is right: accuracy, precision, recall, and what it takes for what."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Z = 1.959964  # of the normal distribution: 95 % lie within so many standard deviations

Pair = tuple[str, str]
"""What a sample is, and what it was predicted as."""


def wilson(successes: int, total: int, z: float = Z) -> tuple[float, float]:
    """The interval in which a share lies, by the score method (Wilson 1927).

    total: at least 1. It holds near 0 and 1 and for few samples, where the usual one does not
    (Brown, Cai and DasGupta 2001).
    """
    share, square = successes / total, z * z
    centre = (share + square / (2 * total)) / (1 + square / total)
    spread = math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    half = z * spread / (1 + square / total)
    low, high = (
        min(share, centre - half),
        max(share, centre + half),
    )  # but for rounding, as they are
    return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class ClassScore:
    """One class. count: of its samples. predicted: how often it was predicted, rightly or not."""

    label: str
    count: int
    predicted: int
    correct: int

    @property
    def recall(self) -> float | None:
        """The share of its samples that were recognised; None where it has none."""
        return self.correct / self.count if self.count else None

    @property
    def precision(self) -> float | None:
        """The share of its predictions that were right; None where there are none."""
        return self.correct / self.predicted if self.predicted else None


@dataclass(frozen=True)
class Scores:
    """Of all samples. pairs: how often each occurred. classes: all that occur in them."""

    pairs: Counter[Pair]
    classes: Sequence[ClassScore]

    @classmethod
    def of(cls, pairs: Iterable[Pair], order: Sequence[str] = ()) -> "Scores":
        """Count pairs. order: of the classes; those that it lacks follow by name."""
        counted = Counter(pairs)
        places = {label: place for place, label in enumerate(order)}
        truths: Counter[str] = Counter()
        predictions: Counter[str] = Counter()
        for (truth, predicted), count in counted.items():
            truths[truth] += count
            predictions[predicted] += count
        labels = sorted(
            truths | predictions, key=lambda label: (places.get(label, len(places)), label)
        )
        return cls(
            counted,
            [
                ClassScore(label, truths[label], predictions[label], counted[label, label])
                for label in labels
            ],
        )

    @property
    def total(self) -> int:
        """The number of samples."""
        return self.pairs.total()

    @property
    def correct(self) -> int:
        """The number of samples that were predicted as what they are."""
        return sum(one.correct for one in self.classes)

    @property
    def accuracy(self) -> float:
        """The share of them."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy lies with a confidence of 95 %."""
        return wilson(self.correct, self.total)

    @property
    def mean_recall(self) -> float:
        """The mean over the classes that have samples: each counts the same, however rare."""
        recalls = [one.recall for one in self.classes if one.recall is not None]
        return sum(recalls) / len(recalls)

    def confusions(self) -> list[tuple[Pair, int]]:
        """The pairs that differ, the most frequent first."""
        wrong = [(pair, count) for pair, count in self.pairs.items() if pair[0] != pair[1]]
        return sorted(wrong, key=lambda item: (-item[1], item[0]))
