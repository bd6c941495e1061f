"""Non-maximum suppression of boxes: exact, and in little memory."""

import tracemalloc

import numpy as np
import pytest

from project.models.face_parts.boxes import ROWS, without_overlaps

MAX_BYTES = 32 << 20


def random_boxes(count: int, *, side: int = 500) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(count)
    corners = random.integers(0, side, (count, 2))
    boxes = np.concatenate([corners, corners + random.integers(12, 120, (count, 2))], axis=1)
    return boxes.astype(np.float32), random.integers(0, 50, count).astype(np.float32) / 50


def suppressed_one_by_one(boxes, scores, share, *, of_smaller) -> list[int]:
    """The definition: each box in turn, best first, unless one that is kept overlaps it."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        left, upper, right, lower = boxes[index]
        for better in kept:
            other_left, other_upper, other_right, other_lower = boxes[better]
            width = max(0, min(right, other_right) - max(left, other_left))
            height = max(0, min(lower, other_lower) - max(upper, other_upper))
            area = (right - left) * (lower - upper)
            other_area = (other_right - other_left) * (other_lower - other_upper)
            shared = width * height
            whole = min(area, other_area) if of_smaller else area + other_area - shared
            if shared > share * whole:
                break
        else:
            kept.append(int(index))
    return kept


@pytest.mark.parametrize("count", [0, 1, 2, 100, ROWS, ROWS + 1, 3 * ROWS])
@pytest.mark.parametrize("of_smaller", [False, True])
def test_each_box_goes_that_a_better_one_overlaps(count, of_smaller):
    """However many there are, and the earlier one is the better of two with the same score."""
    boxes, scores = random_boxes(count)
    kept = without_overlaps(boxes, scores, 0.5, of_smaller=of_smaller)
    assert kept.tolist() == suppressed_one_by_one(boxes, scores, 0.5, of_smaller=of_smaller)


@pytest.mark.parametrize("side", [100, 10_000])
def test_a_picture_of_many_candidates_takes_little_memory(side):
    """1280 x 1280 pixels have up to 2,730; they all overlap, or none does."""
    boxes, scores = random_boxes(2730, side=side)
    tracemalloc.start()
    without_overlaps(boxes, scores, 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_BYTES
