"""Statistics of the tables."""

import statistics
from collections.abc import Iterable, Sequence


def median(values: Iterable[float]) -> float:
    """The median."""
    return float(statistics.median(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile, by nearest rank; NaN of no values."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def slope(points: Iterable[tuple[float, float]]) -> float:
    """Least squares: how much the second grows for one of the first."""
    pairs = list(points)
    across, up = zip(*pairs, strict=True)
    return statistics.linear_regression(across, up).slope
