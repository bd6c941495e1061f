"""Files for tests, made in memory: one picture in every format, and broken and hostile ones."""

import base64
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import tifffile
from hypothesis import strategies as st
from PIL import Image

LOSSLESS = ("png", "webp-lossless", "bmp", "tiff", "tiff-lzw", "tiff-tiled", "ppm", "ppm-plain")
STILL = (*LOSSLESS, "jpeg", "jpeg-progressive", "webp", "gif", "pgm")
ANIMATED = ("gif-animated", "webp-animated", "png-animated", "tiff-pages")
WIDTH, HEIGHT = 96, 64  # whole tiles of 32, so that a cut TIFF lacks some of the picture


def scene() -> Image.Image:
    """A smooth picture without any symmetry: each corner has its own colour."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    red, green, blue = x * 255 / WIDTH, y * 255 / HEIGHT, 255 - (x + y) * 255 / (WIDTH + HEIGHT)
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of that image as Pillow writes them."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(samples: np.ndarray, **options: Any) -> bytes:
    """The bytes of a TIFF with these samples, of any type."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


@cache
def in_every_format() -> dict[str, bytes]:
    """The scene, by the name of its format; moving ones show it first and then upside down."""
    image = scene()
    moving = {"save_all": True, "append_images": [image.rotate(180)]}
    numbers = " ".join(map(str, np.asarray(image).ravel()))
    return {
        "jpeg": encoded(image, "JPEG", quality=95),
        "jpeg-progressive": encoded(image, "JPEG", quality=95, progressive=True),
        "png": encoded(image, "PNG"),
        "webp": encoded(image, "WEBP", quality=95),
        "webp-lossless": encoded(image, "WEBP", lossless=True),
        "gif": encoded(image, "GIF"),
        "bmp": encoded(image, "BMP"),
        "tiff": encoded(image, "TIFF"),
        "tiff-lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "tiff-tiled": tiff(np.asarray(image), photometric="rgb", tile=(32, 32)),
        "ppm": encoded(image, "PPM"),
        "ppm-plain": f"P3\n{WIDTH} {HEIGHT}\n255\n{numbers}\n".encode(),
        "pgm": encoded(image.convert("L"), "PPM"),
        "gif-animated": encoded(image, "GIF", **moving),
        "webp-animated": encoded(image, "WEBP", quality=95, **moving),
        "png-animated": encoded(image, "PNG", **moving),
        "tiff-pages": encoded(image, "TIFF", **moving),
    }


def truncated() -> Iterator[tuple[str, bytes]]:
    """Every still format cut at every tenth of its length."""
    for name in STILL:
        whole = in_every_format()[name]
        for tenth in range(1, 10):
            yield f"{name} cut at {tenth}/10", whole[: len(whole) * tenth // 10]


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(
    size: tuple[int, int], depth: int, colour: int, rows: bytes, *, extra: bytes = b""
) -> bytes:
    """A PNG put together by hand. rows: compressed, each with its filter byte."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(length: int) -> bytes:
    """That many zero bytes, compressed a thousandfold."""
    compressor, block = zlib.compressobj(9), bytes(1 << 20)
    parts = [compressor.compress(block) for _ in range(length >> 20)]
    parts.append(compressor.compress(bytes(length % (1 << 20))))
    return b"".join([*parts, compressor.flush()])


class Files(Mapping[str, bytes]):
    """Files by name, each made when it is first asked for: names are needed earlier than bytes."""

    def __init__(self, made: Mapping[str, Callable[[], bytes]]) -> None:
        self._made = made
        self._files: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = self._made[name]()
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def bomb_in(kind: bytes) -> bytes:
    """A small PNG whose chunk of a kind unfolds to a quarter of a gigabyte."""
    rest = chunk(kind, b"x\0\0" + zeros(1 << 28))
    return png((16, 16), 8, 0, zeros(16 * 17), extra=rest)


def huge_gif(*, frame: bool) -> bytes:
    """A GIF that claims 65,535 x 65,535 pixels, for its canvas or for its frame."""
    data = bytearray(encoded(scene(), "GIF"))
    start = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", WIDTH, HEIGHT)) + 5 if frame else 6
    data[start : start + 4] = b"\xff" * 4
    return bytes(data)


def huge_webp() -> bytes:
    """A WebP that claims a canvas of 16,383 x 16,383 pixels."""
    data = bytearray(encoded(scene(), "WEBP", xmp=b"<x/>"))
    canvas = data.index(b"VP8X") + 12
    data[canvas : canvas + 6] = b"\xfe\x3f\x00" * 2
    return bytes(data)


@cache
def bombs() -> Files:
    """Small files that claim or unfold to gigabytes."""
    many = chunk(b"zTXt", b"x\0\0" + zeros(1 << 20)) * 100
    return Files(
        {
            "header of 100,000 x 100,000": lambda: png((100_000, 100_000), 8, 2, b""),
            "30,000 x 30,000 of one bit": lambda: png(
                (30_000, 30_000), 1, 0, zeros(30_000 * 3_751)
            ),
            "zip bomb in iCCP": partial(bomb_in, b"iCCP"),
            "zip bomb in zTXt": partial(bomb_in, b"zTXt"),
            "many zTXt": lambda: png((16, 16), 8, 0, zeros(16 * 17), extra=many),
            "huge GIF canvas": partial(huge_gif, frame=False),
            "huge GIF frame": partial(huge_gif, frame=True),
            "huge WebP canvas": huge_webp,
            "progressive JPEG of 5,000 scans": partial(jpeg_of_scans, 5_000),
            "TIFF of a strip for each byte": partial(tiff_of_strips, 150_000),
            "plain PPM of comments": lambda: b"P3\n8 8\n255\n" + b"#\n" * 200_000 + b"0 " * 192,
        }
    )


def jpeg_of_scans(count: int, between: bytes = b"") -> bytes:
    """A progressive grey JPEG with that many scans, each over all pixels and empty."""
    side = 2048
    plain = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    first_end = plain.index(b"\xff\xc4", plain.index(b"\xff\xda"))
    table = b"\xff\xc4" + struct.pack(">H", 20) + b"\x10" + bytes([1] + [0] * 15) + b"\xe0"
    runs = "".join("0" + format(0, "014b") for _ in range(side * side // 64 // 16384))
    bits = runs + "1" * (-len(runs) % 8)
    entropy = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = b"\xff\xda" + struct.pack(">H6B", 8, 1, 1, 0, 1, 63, 0) + entropy + between
    return plain[:first_end] + table + scan * count + b"\xff\xd9"


def cmyk_jpeg(image: Image.Image, *, ycck: bool = False) -> bytes:
    """In YCCK the inks C, M, Y are stored as YCbCr; the Adobe mark's transform byte says so."""
    inks = np.asarray(image.convert("CMYK"))
    if ycck:
        colours = Image.fromarray(inks[..., :3]).convert("YCbCr")
        inks = np.dstack([255 - np.asarray(colours), inks[..., 3]])
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=95)
    transform = data.index(b"Adobe") + 11
    return data[:transform] + bytes([2 if ycck else 0]) + data[transform + 1 :]


def tiff_of(entries: dict[int, tuple[int, int, int]], rest: bytes = b"") -> bytes:
    """A little-endian TIFF with these entries: tag → (type, count, value or offset)."""
    directory = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + directory + struct.pack("<I", 0) + rest


def tiff_of_strips(count: int) -> bytes:
    """A TIFF 8 pixels wide whose every row is a strip of its own."""
    start = 14 + 12 * 9
    entries = {256: (4, 1, 8), 257: (4, 1, count), 258: (3, 1, 8), 259: (3, 1, 1)}
    entries |= {262: (3, 1, 1), 273: (4, count, start), 277: (3, 1, 1), 278: (4, 1, 1)}
    return tiff_of(entries | {279: (4, 1, 8)}, struct.pack("<I", 8) * count)


@cache
def no_images() -> dict[str, bytes]:
    """Things that people and crawlers send in place of pictures, and pictures beyond use."""
    tags = {256: (4, 1, 64), 257: (4, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    wild = {273: (4, 0x3FFFFFFF, 8), 277: (3, 1, 65535), 278: (4, 1, 0), 700: (1, 0xFFFFFFFF, 8)}
    whole = in_every_format()
    return {
        "nothing": b"",
        "zero bytes": bytes(5_000),
        "NUL before a PNG": b"\0" + whole["png"],
        "text": b"hello, world\n" * 100,
        "HTML": b"<!doctype html><title>x</title><img src=x>",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n",
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
        "base64 of an image": base64.b64encode(whole["png"]),
        "JPEG with another's magic": b"\x89PNG" + whole["jpeg"][4:],
        "PNG with another's magic": b"\xff\xd8\xff\xe0" + whole["png"][4:],
        "magic alone": b"\xff\xd8\xff",
        "TIFF with absurd tags": tiff_of(tags | wild, bytes(5_000)),
        "TIFF without a directory": b"II*\0\xff\xff\xff\x7f",
        "TIFF whose directory is itself": b"II*\0\4\0\0\0" + bytes(50),
        "PPM without pixels": b"P6\n64 64\n255\n",
        "PGM of odd depth without pixels": b"P5\n64 64\n1023\n" + bytes(64),
        "1 x 1": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "20,000 x 1": encoded(Image.new("RGB", (20_000, 1)), "PNG"),
    }


@cache
def bulky() -> Files:
    """Whole pictures that carry megabytes of something else, or cost the most memory."""
    jpeg, png_file = in_every_format()["jpeg"], in_every_format()["png"]
    side = 3_100  # just below the 10 million pixels that the memory test allows

    def with_chunks(chunks: bytes) -> bytes:
        after_header = 33  # the signature and IHDR
        return png_file[:after_header] + chunks + png_file[after_header:]

    return Files(
        {
            "10 MB of EXIF": lambda: (
                jpeg[:2] + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 150 + jpeg[2:]
            ),
            "10 MB of text": lambda: with_chunks(chunk(b"tEXt", b"x\0" + bytes(10_000_000))),
            "many chunks": lambda: with_chunks(chunk(b"abCd", b"") * 50_000),
            "many comments": lambda: jpeg[:2] + b"\xff\xfe\x00\x02" * 100_000 + jpeg[2:],
            "large RGBA": lambda: png((side, side), 8, 6, zeros(side * (4 * side + 1))),
            "large RGBA as WebP": lambda: encoded(
                Image.new("RGBA", (side, side)), "WEBP", lossless=True, method=0
            ),
            "large 16-bit grey": lambda: png((side, side), 16, 0, zeros(side * (2 * side + 1))),
            "large float": lambda: encoded(
                Image.new("F", (side, side), 0.5), "TIFF", compression="tiff_adobe_deflate"
            ),
        }
    )


@st.composite
def mutations(draw: st.DrawFn, valid: bytes) -> bytes:
    """Those bytes with bits flipped, a piece cut out and others put in."""
    data = bytearray(valid)
    place = st.integers(0, len(valid) - 1) | st.integers(0, min(64, len(valid) - 1))
    for flipped in draw(st.lists(place, max_size=6)):
        data[flipped] ^= 1 << draw(st.integers(0, 7))
    first = draw(place)
    del data[first : first + draw(st.integers(0, 40))]
    added = draw(place)
    data[added:added] = draw(st.binary(max_size=40))
    return bytes(data)
