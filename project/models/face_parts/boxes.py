"""Boxes as arrays: (n, 4) left, upper, right and lower edge, in pixels."""

import numpy as np

from project.models.base import Array

ROWS = 256  # boxes that are compared with all others in one step: bounds the memory


def without_overlaps(
    boxes: Array, scores: Array, share: float, *, of_smaller: bool = False
) -> Array:
    """Greedy non-maximum suppression: the indices of the boxes that are left, best first.

    share: overlap above which the worse of two boxes goes: of their union, or of the smaller one.
    """
    order = np.argsort(-scores, kind="stable")
    kept = [order[:0]]
    while len(order):
        best = boxes[order[:ROWS]]
        suppresses = np.triu(_overlap(best, boxes[order], share, of_smaller=of_smaller), 1)
        left = np.ones(len(order), dtype=bool)
        for better in np.flatnonzero(suppresses.any(axis=1)):
            if left[better]:
                left &= ~suppresses[better]
        kept.append(order[:ROWS][left[:ROWS]])
        order = order[ROWS:][left[ROWS:]]
    return np.concatenate(kept)


def _overlap(some: Array, others: Array, share: float, *, of_smaller: bool) -> Array:
    """Whether two boxes overlap by more than the share: (n, m) for (n, 4) and (m, 4)."""
    left, upper, right, lower = some.T
    lefts, uppers, rights, lowers = others.T
    widths = np.minimum.outer(right, rights) - np.maximum.outer(left, lefts)
    heights = np.minimum.outer(lower, lowers) - np.maximum.outer(upper, uppers)
    shared = widths.clip(0) * heights.clip(0)
    areas, other_areas = _areas(some), _areas(others)
    if of_smaller:
        whole = np.minimum.outer(areas, other_areas)
    else:
        whole = np.add.outer(areas, other_areas) - shared
    return shared > share * whole  # type: ignore[no-any-return]


def _areas(boxes: Array) -> Array:
    left, upper, right, lower = boxes.T
    return (right - left).clip(0) * (lower - upper).clip(0)  # type: ignore[no-any-return]


def squares(boxes: Array) -> Array:
    """The squares around the same centres, as wide as the longer sides."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def moved(boxes: Array, offsets: Array) -> Array:
    """Boxes whose edges are moved. offsets: (n, 4), as shares of the boxes' sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.concatenate([sides, sides], axis=1)  # type: ignore[no-any-return]
