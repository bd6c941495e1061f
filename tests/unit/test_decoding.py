"""Decoding: every format and depth gives the same upright RGB picture, and never half of it."""

import io
import struct
import zlib
from collections import ChainMap

import numpy as np
import pytest
from PIL import Image

from project.errors import InvalidImage
from project.inference.images.decoding import ImageLimits, decode
from tests import corpus

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as in the product
LIMITS = ImageLimits(max_pixels=1_000_000, min_side=8)
RAMP = np.tile(np.array([0, 257, 32768, 65535, 127 * 257, 200 * 257], np.uint16), (24, 4))
RAMP_8 = [0, 1, 128, 255, 127, 200]
BYTES = (RAMP // 257).astype(np.uint8)


def picture_of(data: bytes) -> Image.Image:
    return decode(data, LIMITS).image


def shades(data: bytes) -> list[int]:
    """The first six pixels, red channel, of what comes out for those bytes."""
    image = picture_of(data)
    assert image.mode == "RGB"
    return [int(value) for value in np.asarray(image)[0, :6, 0]]


def differ(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures, 0 to 255; 255 where their sizes differ."""
    if one.size != other.size:
        return 255.0
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("name", [*corpus.STILL, *corpus.ANIMATED])
def test_every_format_gives_the_same_picture(name):
    """Which program saved a picture does not matter; of a moving one the first frame counts."""
    expected = corpus.scene()
    if name == "pgm":
        expected = expected.convert("L").convert("RGB")
    allowed = {"jpeg": 2, "jpeg-progressive": 2, "webp": 3, "webp-animated": 3}
    allowed |= {"gif": 6, "gif-animated": 6}  # 256 colours
    difference = differ(picture_of(corpus.in_every_format()[name]), expected)
    assert difference <= allowed.get(name, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_may_be_held_any_way(kind, orientation):
    """All eight EXIF orientations (TIFF 6.0, section 8) come out upright."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = corpus.scene() if undo is None else corpus.scene().transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = corpus.encoded(stored, kind, exif=exif, quality=95)
    assert differ(picture_of(data), corpus.scene()) < 4


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0nonsense",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x0c\0\x01\0\0\0\0\0\xf8\x7f\0\0\0\0",
    ],
)
def test_garbled_exif_is_ignored(exif):
    """The picture is good even where its notes are not."""
    for kind in ("JPEG", "PNG", "WEBP"):
        data = corpus.encoded(corpus.scene(), kind, exif=exif, quality=95)
        assert differ(picture_of(data), corpus.scene()) < 4


def test_a_picture_is_turned_though_another_note_is_garbled():
    """A description that is a fraction cannot be written back, which must not cost the picture."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x0e\0\x05\0\0\0\x01\0\0\0\x10"
    mirrored = exif + b"\x01\x12\0\x03\0\0\0\x01\0\x02\0\0\0\0\0\0"
    stored = corpus.scene().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert differ(picture_of(corpus.encoded(stored, "PNG", exif=mirrored)), corpus.scene()) == 0


@pytest.mark.parametrize(
    "data",
    [
        corpus.encoded(Image.fromarray(RAMP), "PNG"),
        corpus.tiff(RAMP),
        corpus.tiff(RAMP, byteorder=">"),  # Pillow's mode I;16B
        corpus.tiff(65535 - RAMP, photometric="miniswhite"),
        corpus.tiff((RAMP.astype(np.int32) - 32768).astype(np.int16)),
        corpus.tiff(RAMP.astype(np.uint32)),
        corpus.tiff(RAMP.astype(np.uint32) * 65537),
        corpus.tiff((RAMP.astype(np.int64) * 65537 - 2**31).astype(np.int32)),
        corpus.tiff(RAMP.astype(np.float32) / 65535),
        corpus.tiff(RAMP.astype(np.float32) - 40_000),
        corpus.tiff((RAMP / 65535 * 6.8e38 - 3.4e38).astype(np.float32)),
        b"P5\n24 24\n65535\n" + RAMP.astype(">u2").tobytes(),
        b"P5\n24 24\n65534\n" + RAMP.astype(">u2").tobytes(),
        b"P6\n24 24\n65534\n" + np.stack([RAMP] * 3, -1).astype(">u2").tobytes(),
        b"P5\n24 24\n254\n" + np.minimum(BYTES, 254).tobytes(),
        corpus.tiff(np.stack([RAMP] * 3, -1), photometric="rgb"),
        corpus.tiff(BYTES),
        corpus.tiff(255 - BYTES, photometric="miniswhite"),
    ],
)
def test_any_depth_comes_out_as_eight_bits_over_the_whole_range(data):
    """65,535 is white and 32,768 is half way; nothing is clipped, wrapped or turned dark."""
    assert np.abs(np.subtract(shades(data), RAMP_8)).max() <= 1


def test_what_is_no_number_in_a_float_picture_is_black_and_infinity_white():
    """One bad sample of a depth camera leaves the rest as it is."""
    samples = RAMP.astype(np.float32) / 65535
    samples[0, :3] = np.nan, np.inf, -np.inf
    assert shades(corpus.tiff(samples)) == [0, 255, 0, 255, 127, 200]
    assert shades(corpus.tiff(np.full((24, 24), np.nan, np.float32))) == [0] * 6


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_every_mode_of_a_red_picture_is_red_or_its_grey(mode):
    """Palettes, greys, print colours and bits become RGB."""
    red = Image.new("RGB", (16, 16), (250, 10, 10))
    data = corpus.encoded(red.quantize() if mode == "P" else red.convert(mode), "TIFF")
    expected = {"L": (82,) * 3, "LA": (82,) * 3}.get(mode, (250, 10, 10))
    if mode == "1":
        assert set(shades(data)) == {0, 255}
        return
    assert np.abs(np.subtract(picture_of(data).getpixel((3, 3)), expected)).max() <= 3


def trns(*values: int) -> bytes:
    return corpus.chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def rows(samples: np.ndarray) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in samples))


def transparent_pictures() -> dict[str, bytes]:
    """24 x 24 pictures whose first pixel is transparent and not white, and the rest black."""
    grey = np.zeros((24, 24), np.uint8)
    grey[:, 0] = 90
    deep = grey.astype(">u2") * 257
    alpha = np.where(grey == 90, 0, 255).astype(np.uint8)
    palette = np.where(grey == 90, 1, 0).astype(np.uint8)
    size = (24, 24)
    colours = corpus.chunk(b"PLTE", bytes([0, 0, 0, 255, 0, 0])) + corpus.chunk(b"tRNS", b"\xff\0")
    rgba = Image.fromarray(np.stack([grey] * 3 + [alpha], -1))
    return {
        "grey": corpus.png(size, 8, 0, rows(grey), extra=trns(90)),
        "16-bit grey": corpus.png(size, 16, 0, rows(deep), extra=trns(90 * 257)),
        "grey + alpha": corpus.png(size, 8, 4, rows(np.stack([grey, alpha], -1))),
        "RGB": corpus.png(size, 8, 2, rows(np.stack([grey] * 3, -1)), extra=trns(90, 90, 90)),
        "RGBA": corpus.encoded(rgba, "PNG"),
        "RGBA WebP": corpus.encoded(rgba, "WEBP", lossless=True),
        "RGBA TIFF": corpus.encoded(rgba, "TIFF"),
        "palette": corpus.png(size, 8, 3, rows(palette), extra=colours),
        "GIF": corpus.encoded(Image.fromarray(palette).convert("P"), "GIF", transparency=1),
    }


@pytest.mark.parametrize("name", transparent_pictures())
def test_what_is_transparent_is_laid_on_white(name):
    """The net sees what a person sees on a white page."""
    assert shades(transparent_pictures()[name])[:2] == [255, 0]


def test_half_transparent_is_half_way_to_white():
    """Alpha is a share, not a switch."""
    data = corpus.encoded(Image.new("RGBA", (16, 16), (0, 0, 0, 128)), "PNG")
    assert set(shades(data)) == {127}


def test_a_jpeg_for_print_has_the_colours_of_the_screen():
    """CMYK and YCCK, both stored inverted as Adobe does it."""
    image = corpus.scene()
    for data in (corpus.cmyk_jpeg(image), corpus.cmyk_jpeg(image, ycck=True)):
        assert Image.open(io.BytesIO(data)).mode == "CMYK"
        assert differ(picture_of(data), image) < 6


def test_a_picture_cut_short_is_refused():
    """Half a picture is never judged as a whole one."""
    accepted = []
    for name, data in corpus.truncated():
        try:
            picture_of(data)
        except InvalidImage:
            continue
        accepted.append(name)
    assert accepted == []


@pytest.mark.parametrize("name", corpus.ANIMATED)
def test_a_moving_picture_cut_short_gives_its_whole_first_frame_or_nothing(name):
    """Only frames that are not decoded may be missing."""
    whole = corpus.in_every_format()[name]
    expected, outcomes = picture_of(whole), []
    for tenth in range(1, 10):
        try:
            outcomes.append(differ(picture_of(whole[: len(whole) * tenth // 10]), expected))
        except InvalidImage:
            outcomes.append(None)
    assert outcomes[0] is None
    assert set(outcomes) <= {None, 0.0}


UNUSABLE = ChainMap({}, corpus.bombs(), corpus.no_images())


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_no_usable_picture_is_refused_with_advice(name):
    """Bombs cost nothing, and every refusal has advice."""
    with pytest.raises(InvalidImage, match=r"send|scale") as refused:
        decode(UNUSABLE[name], ImageLimits(50_000_000, 8))
    assert len(refused.value.detail) < 200


def test_the_limits_say_which_they_are():
    """The client learns how large a picture may be and how small."""
    exact = ImageLimits(corpus.WIDTH * corpus.HEIGHT, corpus.HEIGHT)
    data = corpus.in_every_format()["png"]
    assert decode(data, exact).size == (corpus.WIDTH, corpus.HEIGHT)
    with pytest.raises(InvalidImage, match=r"at most 6,143 pixels"):
        decode(data, ImageLimits(exact.max_pixels - 1, 8))
    with pytest.raises(InvalidImage, match=r"at least 65 pixels"):
        decode(data, ImageLimits(exact.max_pixels, exact.min_side + 1))
