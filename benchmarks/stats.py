"""The few statistics that tables need."""

import statistics
from collections.abc import Iterable, Sequence


def median(values: Iterable[float]) -> float:
    """The value in the middle."""
    return float(statistics.median(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so much of all lies at or below; NaN where there is none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def slope(points: Iterable[tuple[float, float]]) -> float:
    """Least squares: how much the second grows for one of the first."""
    pairs = list(points)
    across, up = zip(*pairs, strict=True)
    return statistics.linear_regression(across, up).slope
