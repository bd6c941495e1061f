"""Converts other bit depths to eight bits, where Pillow would clip or take seconds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

EIGHT_BITS, SIXTEEN_BITS = 255, 65535
_CHUNK = 1 << 20  # pixels scaled at a time: their float64 copy stays small beside the picture
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF 6.0, section 8
_SAMPLE_FORMAT, _UNSIGNED = 339, 1  # TIFF 6.0, section 19


def eight_bits(image: Image.Image) -> Image.Image:
    """Convert deep grey (modes I, I;16, F) to L.

    Values that fit sixteen bits are divided by 257. Others, and all floats, are stretched: the
    darkest becomes black and the lightest white, as microscopes and depth cameras choose their
    units freely.
    """
    tags = getattr(image, "tag_v2", {})  # empty but for TIFF
    pixels: NDArray[Any] = np.asarray(image)  # (h, w)
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED:
        pixels = pixels.view(np.uint32)
    low, high = _range(pixels)
    black, white = (high, low) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (low, high)
    scale = 255 / (white - black) if white != black else 0.0

    def scaled(part: NDArray[Any]) -> NDArray[np.uint8]:
        exact = np.nan_to_num(part.astype(np.float64), nan=low, posinf=high, neginf=low)
        return np.rint(np.clip((exact - black) * scale, 0, 255)).astype(np.uint8)

    parts = np.array_split(pixels, max(1, pixels.size // _CHUNK))
    grey = np.concatenate([scaled(part) for part in parts])
    if "transparency" in image.info:
        grey[pixels == image.info["transparency"]] = 255
    return Image.fromarray(grey)


def _range(pixels: NDArray[Any]) -> tuple[float, float]:
    """The values that become black and white (or white and black)."""
    if pixels.dtype.kind == "f":
        finite = np.isfinite(pixels)
        low = float(np.min(pixels, where=finite, initial=np.inf))
        high = float(np.max(pixels, where=finite, initial=-np.inf))
        return (low, high) if low <= high else (0.0, 0.0)
    low, high = float(pixels.min()), float(pixels.max())
    return (low, high) if low < 0 or high > SIXTEEN_BITS else (0.0, float(SIXTEEN_BITS))


def scaled_ppm(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Decode a binary PPM or PGM with an unusual maximum, for which Pillow takes 1 s a megabyte.

    data: the file. Raises ValueError where it is too short.
    """
    arguments = image.tile[0].args
    maximum = int(arguments[-1]) if isinstance(arguments, tuple) else 255
    shape = (image.height, image.width, 3)[: 3 if image.mode == "RGB" else 2]
    count = int(np.prod(shape))
    kind = ">u2" if maximum > EIGHT_BITS else "u1"
    samples = np.frombuffer(data, kind, count, image.tile[0].offset)
    table = np.rint(np.arange(maximum + 1) * (255 / maximum)).astype(np.uint8)
    return Image.fromarray(table[np.minimum(samples, maximum)].reshape(shape))
