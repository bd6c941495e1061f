"""Boxes as arrays: (n, 4) left, upper, right and lower edge, in pixels."""

import numpy as np

from project.models.base import Array


def without_overlaps(
    boxes: Array, scores: Array, share: float, *, of_smaller: bool = False
) -> Array:
    """Greedy non-maximum suppression: the indices of the boxes that are left, best first.

    share: overlap above which the worse of two boxes goes: of their union, or of the smaller one.
    """
    order = np.argsort(-scores, kind="stable")
    left, upper, right, lower = boxes[order].T
    areas = (right - left).clip(0) * (lower - upper).clip(0)
    widths = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    heights = np.minimum.outer(lower, lower) - np.maximum.outer(upper, upper)
    shared = widths.clip(0) * heights.clip(0)
    whole = np.minimum.outer(areas, areas) if of_smaller else np.add.outer(areas, areas) - shared
    suppresses = np.triu(shared > share * whole, 1)  # row: the better box, column: the worse one
    kept = np.ones(len(order), dtype=bool)
    for better in np.flatnonzero(suppresses.any(axis=1)):
        if kept[better]:
            kept &= ~suppresses[better]
    return order[kept]


def squares(boxes: Array) -> Array:
    """The squares around the same centres, as wide as the longer sides."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def moved(boxes: Array, offsets: Array) -> Array:
    """Boxes whose edges are moved. offsets: (n, 4), as shares of the boxes' sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.concatenate([sides, sides], axis=1)  # type: ignore[no-any-return]
