"""Bytes to image: the one place where hostile files are opened, with every limit on them.

What comes out is RGB, upright and of eight bits a channel. Transparency is laid on white, sixteen
bits are scaled down, of an animation the first frame is taken.
"""

import io
from dataclasses import dataclass
from struct import error as struct_error

import numpy as np
from PIL import Image, ImageOps

from project.errors import InvalidImage
from project.settings import Settings

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff")
READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF or PPM"

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked first, and says what to do
_TRANSPARENT = {"RGBA", "LA", "PA", "RGBa", "La"}


@dataclass(frozen=True)
class ImageLimits:
    """Bounds on an image: pixels in all, and pixels of its shorter side."""

    max_pixels: int
    min_side: int

    @classmethod
    def of(cls, settings: Settings) -> "ImageLimits":
        """The limits that the settings name."""
        return cls(settings.max_image_pixels, settings.min_image_side)


def decode(data: bytes, limits: ImageLimits) -> Image.Image:
    """Decode an image file. Returns it in mode RGB, upright.

    Raises InvalidImage for bytes that are no whole image of a format we read, or one beyond the
    limits. Size is checked before any pixel is decoded, so a bomb costs nothing.
    """
    if not data:
        raise InvalidImage(f"the image is empty; send the bytes of a {READABLE}")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise InvalidImage(f"send a {READABLE}; these bytes are none of them") from error
    check_size(image.size, limits)
    try:
        image.load()
        return _to_rgb(_upright(image))
    except Exception as error:  # Pillow's decoders raise a dozen types on hostile bytes
        raise InvalidImage(
            "the image is damaged or cut off; open it in an image editor, save it and send it again"
        ) from error


def check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    """Raise InvalidImage where (width, height) is beyond the limits."""
    width, height = size
    if width * height > limits.max_pixels:
        raise InvalidImage(
            f"the image has {width} x {height} pixels; "
            f"scale it down to at most {limits.max_pixels:,} pixels in all"
        )
    if min(width, height) < limits.min_side:
        raise InvalidImage(
            f"the image is {width} x {height} pixels; "
            f"send one of at least {limits.min_side} pixels a side"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Turn as EXIF says; where EXIF is garbled the picture stays as stored, as in a browser."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct_error):
        image.info.pop("exif", None)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _sixteen_bits(image).convert("RGB")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _sixteen_bits(image: Image.Image) -> Image.Image:
    """Grey of more than eight bits to eight: by 257 where it is integer, by its range if float."""
    pixels = np.asarray(image, dtype=np.float32)  # (h, w)
    if image.mode == "F":
        pixels = np.nan_to_num(pixels, posinf=0, neginf=0)
        low, high = float(pixels.min()), float(pixels.max())
        scaled = (pixels - low) * (255 / (high - low)) if high > low else pixels * 0
    else:
        scaled = pixels / 257
    return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8))
