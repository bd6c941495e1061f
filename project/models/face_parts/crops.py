"""Square crops of pictures, which R-Net and O-Net look at; grey where there is no picture.

Normalised, that grey is 0. With black, or the last pixels again, a face that touches the edge of a
photo is found less often.
"""

import cv2
import numpy as np

from project.models.base import Array

GREY = 127


def crops_of(picture: Array, boxes: Array, side: int) -> Array:
    """What is inside boxes, as squares: (n, side, side, 3) uint8.

    picture: (h, w, 3) uint8. boxes: (n, 4) pixels, squares.
    """
    height, width = picture.shape[:2]
    crops = np.full((len(boxes), side, side, 3), GREY, np.uint8)
    for crop, (x1, y1, x2, y2) in zip(crops, boxes.round().astype(int).tolist(), strict=True):
        left, upper, right, lower = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
        if left >= right or upper >= lower:
            continue
        part = picture[upper:lower, left:right]
        margins = (upper - y1, y2 - lower, left - x1, x2 - right)
        if any(margins):
            part = cv2.copyMakeBorder(part, *margins, cv2.BORDER_CONSTANT, value=(GREY,) * 3)
        smaller = max(part.shape[:2]) > side
        way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        cv2.resize(part, (side, side), dst=crop, interpolation=way)
    return crops
