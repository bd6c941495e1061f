"""The population stability index: how far two histograms are apart.

It stands alone because a formula is read, cited and tested by itself.
"""

import math
from collections.abc import Sequence

HALF = 0.5  # of a sample, which an empty bin counts as: there is no logarithm of 0


def psi(expected: Sequence[float], actual: Sequence[float]) -> float:
    """Population stability index of two histograms.

    expected, actual: (bins,) counts, same edges; empty bins count as half a sample.
    Returns a number >= 0, the same both ways round; above 0.25 is read as drift (Siddiqi 2006,
    ch. 6). Where both are of one population, about (bins - 1) * (1 / n + 1 / m) of it is chance.
    Raises ValueError where they differ in their number of bins.
    """
    filled = [[count or HALF for count in counts] for counts in (expected, actual)]
    totals = [sum(counts) for counts in filled]
    shares = ((was / totals[0], now / totals[1]) for was, now in zip(*filled, strict=True))
    return math.fsum((now - was) * math.log(now / was) for was, now in shares)
