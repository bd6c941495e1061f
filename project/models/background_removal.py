"""background_removal: the subject inside a rectangle, cut out of its background."""

from math import ceil, floor, pi, sqrt

import cv2
import numpy as np
from PIL import Image

from project.models.base import (
    NO_WEIGHTS,
    Array,
    Field,
    ImageInput,
    InvalidInput,
    Params,
    Picture,
    StepModel,
    Steps,
    rectangle_on,
)

MAX_PIXELS = 100_000  # that are cut: five iterations then take about a second
SEED = 0  # of GrabCut's first clusters: the same picture always has the same result
SMOOTHING = 1.0  # pixels; sigma of the blur that smooths the edge
EDGE_SLOPE = 0.6  # of alpha across the edge, per pixel: opaque to clear in 1 / 0.6 pixels
SPECK_SHARE = 0.01  # of the subject: smaller islands are dropped, smaller holes are filled
OPAQUE = 255


class Rectangle(Params):
    """Where the subject is, as shares of the picture's width and height, and how often to iterate.

    The default leaves a margin of a twentieth on all sides.
    """

    model_config = rectangle_on("image", "x", "y", "width", "height")

    x: float = Field(0.05, ge=0, le=1, description="Left edge, as a share of the width.")
    y: float = Field(0.05, ge=0, le=1, description="Upper edge, as a share of the height.")
    width: float = Field(
        0.9, ge=0, le=1, description="Width, as a share; what lies outside the picture is left out."
    )
    height: float = Field(
        0.9, ge=0, le=1, description="Height, as a share; what lies outside is left out."
    )
    iterations: int = Field(5, ge=1, le=10, description="How often the cut is made better.")


class BackgroundRemoval(StepModel[ImageInput, Picture, Rectangle]):
    """GrabCut (Rother, Kolmogorov and Blake 2004): segments by colours and edges of the one photo.

    Pixels outside the rectangle are background for certain; their colours are its model.
    """

    version = "1.0.0"
    licence = "Apache-2.0"  # of OpenCV; there are no weights
    weights = NO_WEIGHTS
    summary = "Cuts the subject inside a rectangle out of its background."
    backend = "opencv"

    def steps(self, inputs: ImageInput, params: Rectangle) -> Steps[Picture]:
        """Returns an RGBA picture of the same size, its background black and clear."""
        image = inputs.image
        small = reduced(image)
        box = box_of(params, small.size)
        mask = yield from cut(np.asarray(small), box, params.iterations)
        alpha = edge(without_specks(mask), image.size)
        result = Image.new("RGBA", image.size)
        visible = alpha.point(lambda value: OPAQUE if value else 0)
        result.paste(image, mask=visible)  # the background must not be there without the alpha
        result.putalpha(alpha)
        return result


def reduced(image: Image.Image) -> Image.Image:
    """Scale a picture down to MAX_PIXELS or less."""
    scale = sqrt(MAX_PIXELS / (image.width * image.height))
    if scale >= 1:
        return image
    size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX, reducing_gap=2)


Box = tuple[int, int, int, int]  # left, top, width, height; pixels


def box_of(params: Rectangle, size: tuple[int, int]) -> Box:
    """The rectangle in whole pixels. size: (width, height) of the picture.

    Raises InvalidInput where no pixel is inside, or none is outside.
    """
    across = span(params.x, params.width, size[0])
    down = span(params.y, params.height, size[1])
    if not across or not down:
        raise InvalidInput(
            "the rectangle covers nothing of the picture; draw it around the subject",
            fields={
                name: "leaves nothing inside the picture"
                for name, inside in (("width", across), ("height", down))
                if not inside
            },
        )
    box = (across.start, down.start, len(across), len(down))
    if box == (0, 0, *size):
        raise InvalidInput(
            "the rectangle covers the whole picture; leave some of the background outside: "
            "the colours outside the rectangle tell background from subject",
            fields={"width": "leaves nothing outside"},
        )
    return box


def span(start: float, length: float, pixels: int) -> range:
    """The whole pixels between two shares of a side."""
    return range(ceil(start * pixels), floor(min(1, start + length) * pixels))


def cut(pixels: Array, box: Box, iterations: int) -> Steps[Array]:
    """Segment the subject: (h, w) uint8, 255 in it. Yields the share done after each iteration.

    pixels: (h, w, 3) uint8. Raises InvalidInput where nothing belongs to it.
    """
    mask = np.zeros(pixels.shape[:2], np.uint8)
    background, subject = np.zeros((1, 65)), np.zeros((1, 65))  # mixtures of five Gaussians each
    mode = cv2.GC_INIT_WITH_RECT
    cv2.setRNGSeed(SEED)
    for iteration in range(1, iterations + 1):
        cv2.grabCut(pixels, mask, box, background, subject, 1, mode)
        mode = cv2.GC_EVAL
        found = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if not found.any():
            raise InvalidInput(
                "nothing in the rectangle differs from what is outside; "
                "draw it around the whole subject, with background on all sides"
            )
        yield iteration / (iterations + 1)
    return np.where(found, OPAQUE, 0).astype(np.uint8)


def without_specks(mask: Array) -> Array:
    """Drop small islands of a mask and fill its small holes. mask: (h, w), 255 in the subject.

    The largest island is never dropped.
    """
    min_area = SPECK_SHARE * np.count_nonzero(mask)
    islands = np.where(_specks(mask, min_area), 0, mask)
    return np.where(_specks(OPAQUE - islands, min_area), OPAQUE, islands).astype(np.uint8)


def _specks(mask: Array, min_area: float) -> Array:
    """Where the mask has parts of fewer pixels than min_area; its largest part is not one."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas < min_area
    small[0] = False  # the label of pixels outside the mask
    if len(areas) > 1:
        small[1 + areas[1:].argmax()] = False
    where: Array = small[parts]
    return where


def edge(mask: Array, size: tuple[int, int]) -> Image.Image:
    """Alpha for a mask, with an edge about a pixel wide. size: (width, height) of the alpha.

    The mask may be smaller: scaling widens its edge, which is then made steep again.
    """
    smooth = Image.fromarray(cv2.GaussianBlur(mask, (0, 0), SMOOTHING))
    scaled = smooth.resize(size, Image.Resampling.BICUBIC)
    slope = mask.shape[1] / size[0] / (SMOOTHING * sqrt(2 * pi))  # of a blurred step, scaled
    values = (np.arange(OPAQUE + 1) - OPAQUE / 2) * EDGE_SLOPE / slope + OPAQUE / 2
    return scaled.point(np.clip(values, 0, OPAQUE).round().astype(int).tolist())
