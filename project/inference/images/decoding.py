"""Decodes image files: the one place where hostile files are opened, with every limit on them.

A decoded image is RGB, upright and of eight bits a channel. Transparency is composited on white,
sixteen bits are scaled down, of an animation the first frame is taken.
"""

import io
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile

from project.errors import InvalidImage
from project.inference.images.bit_depth import eight_bits, scaled_ppm
from project.models.base.inputs import SENT_SIZE
from project.settings import Settings

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff")
READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF or PPM"

MAX_SCANS = 100  # of a JPEG; encoders make about ten, and libtiff sets the same limit
MAX_TILES = 100_000  # strips or tiles of a TIFF; one for each row is usual
MAX_COMMENTS = 1_000  # of a PPM in plain text, where each costs Pillow a copy of what follows

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked first, with advice
warnings.filterwarnings("ignore", module=r"PIL\.")  # a hostile file can cause 65,000 of them
_TRANSPARENT = {"RGBA", "LA", "PA", "RGBa", "La"}
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")  # not those inside a scan
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
OVERSAMPLING = 2  # of useful_side, see decode
_TRANSPOSES = {  # EXIF orientation (2.32, section 4.6.4) → what makes the stored image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = {_TRANSPOSES[orientation] for orientation in (5, 6, 7, 8)}


@dataclass(frozen=True)
class ImageLimits:
    """Bounds on an image. max_pixels: width x height. min_side: pixels of the shorter side."""

    max_pixels: int
    min_side: int

    @classmethod
    def of(cls, settings: Settings) -> "ImageLimits":
        """The limits that the settings name."""
        return cls(settings.max_image_pixels, settings.min_image_side)


@dataclass(frozen=True)
class Decoded:
    """An image, RGB and upright. size: (width, height) as it was sent; `image` may be smaller.

    media_type: of the bytes, whatever the request declared.
    """

    image: Image.Image
    size: tuple[int, int]
    media_type: str


def decode(data: bytes, limits: ImageLimits, useful_side: int | None = None) -> Decoded:
    """Decode an image file.

    useful_side: pixels of the shorter side that the model can use; None for all. A larger JPEG is
    decoded at a half, a quarter or an eighth, to OVERSAMPLING times as many pixels or more: resized
    to the useful size afterwards, it hardly differs (Pillow's documentation of `reducing_gap`
    calls 2 close to fair resampling).

    Raises InvalidImage for bytes that are not a whole image of a format in FORMATS, or for an image
    beyond the limits. The size is checked before any pixel is decoded, so a bomb costs nothing.
    """
    if not data:
        raise InvalidImage(f"the image is empty; send the bytes of a {READABLE}")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise InvalidImage(f"send a {READABLE}; these bytes are none of them") from error
    check_size(image.size, limits)
    _check_effort(image, data)
    try:
        enough = OVERSAMPLING * useful_side if useful_side else max(image.size)
        size = image.size
        drafted = image.draft(None, (enough, enough))  # by JPEG's decoder alone
        if _codec(image) == "ppm":
            upright = scaled_ppm(image, data).convert("RGB")
        else:
            image.decodermaxblock = len(data)  # at once, not in pieces with a lock between them
            image.load()
            upright = _to_rgb(image)
        if drafted is None:
            size = upright.size  # loading applies the orientation of a TIFF
        transpose = _TRANSPOSES.get(_orientation(image))
        if transpose is not None:
            upright = upright.transpose(transpose)
        upright_size = size[::-1] if transpose in _SWAPS_SIDES else size
        upright.info[SENT_SIZE] = upright_size
        return Decoded(upright, upright_size, _media_type(image))
    except Exception as error:  # Pillow's decoders raise a dozen types on hostile bytes
        raise InvalidImage(
            "the image is damaged or cut off; open it in an image editor, save it and send it again"
        ) from error


def _media_type(image: ImageFile.ImageFile) -> str:
    if image.format == "MPO":  # a JPEG with others behind it, as some cameras make
        return "image/jpeg"
    return image.get_format_mimetype() or "application/octet-stream"


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


def _check_effort(image: ImageFile.ImageFile, data: bytes) -> None:
    """Reject files that are small but take minutes to decode; no program saves such files."""
    if (
        (image.format in {"JPEG", "MPO"} and _has_many_scans(data))
        or len(image.tile) > MAX_TILES
        or (_codec(image) == "ppm_plain" and data.count(b"#") > MAX_COMMENTS)
    ):
        raise InvalidImage(
            "the image is made of too many parts; "
            "open it in an image editor, save it and send it again"
        )


def _has_many_scans(data: bytes) -> bool:
    """Whether a JPEG has more than MAX_SCANS scans.

    Start-of-scan bytes anywhere in the file are counted first: walking from marker to marker takes
    five times as long.
    """
    start_of_scan = int.from_bytes(bytes((0xFF, _START_OF_SCAN)), "little")
    candidates = 0
    for offset in (0, 1):
        pairs = np.frombuffer(data, "<u2", (len(data) - offset) // 2, offset)
        candidates += int(np.count_nonzero(pairs == start_of_scan))
    return candidates > MAX_SCANS and count_scans(data) > MAX_SCANS


def count_scans(data: bytes) -> int:
    """Count a JPEG's scans, each of which may cost a pass over all pixels (ITU T.81, annex B)."""
    scans = 0
    marker = _JPEG_MARKER.search(data, 2)
    while marker and data[marker.start() + 1] != _END_OF_IMAGE:
        scans += data[marker.start() + 1] == _START_OF_SCAN
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        marker = _JPEG_MARKER.search(data, marker.end() + length)
    return scans


def _codec(image: ImageFile.ImageFile) -> str:
    return image.tile[0].codec_name if image.tile else ""


def _orientation(image: Image.Image) -> Any:
    """The EXIF orientation; None where EXIF is garbled: the image then stays as stored."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - garbled EXIF raises a dozen types
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return eight_bits(image).convert("RGB")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")
