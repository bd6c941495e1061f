"""Words and pairs of words of a text, and their hashes.

Only Latin letters count, without case and accents. What names a place, a person or a time rather
than says something becomes a token in brackets: (link), (address), (number), (date).
"""

import re
import unicodedata
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MAX_LETTERS = 24  # of a word; a longer run of letters is none

# The input has no control characters when these stand for what they replace.
LINK, ADDRESS, NUMBER = b"\x01", b"\x02", b"\x03"
CONTROL = bytes(range(9)) + bytes(range(14, 32)) + b"\x7f"
# Each alternative fails at once, or takes all that it has looked at: the time is linear.
LINKS = re.compile(rb"(?:https?://|www\.)[^\s<>\"]*")
ADDRESSES = re.compile(rb"(?<![^\s<>\"(\[:;,])[^\s<>\"(\[:;,@]*@[^\s<>\"(\[:;,@]*")
NUMBERS = re.compile(rb"(?<![a-z0-9])[a-z]{0,24}\d[a-z0-9.,:/-]*")  # and codes such as a4f09
TOKEN = re.compile(rb"[a-z]+(?:'[a-z]+)?|\$?\x03|!!?|\$\$?|[\x01\x02]")
NAMES = {
    LINK: b"(link)",
    ADDRESS: b"(address)",
    NUMBER: b"(number)",
    b"$" + NUMBER: b"(money)",
    **dict.fromkeys(
        b"jan feb mar apr jun jul aug sep sept oct nov dec january february april june july august "
        b"september october november december mon tue wed thu fri sat monday tuesday wednesday "
        b"thursday friday saturday sunday".split(),
        b"(date)",
    ),
}


def _latin() -> dict[int, str | None]:
    """Code point → the Latin letters and signs that it looks like; None for what is invisible."""
    found: dict[int, str | None] = {}
    for first, last in ((0x80, 0x24F), (0x1E00, 0x1EFF), (0x2000, 0x206F), (0xFF01, 0xFF5E)):
        for code in range(first, last + 1):
            plain = unicodedata.normalize("NFKD", chr(code)).encode("ascii", "ignore").decode()
            if plain:
                found[code] = plain
    invisible = [0xAD, *range(0x300, 0x370), *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF]
    found.update(dict.fromkeys(invisible))
    found.update(
        {0xDF: "ss", 0xE6: "ae", 0xF8: "o", 0x20AC: "$", 0xA3: "$", 0x2018: "'", 0x2019: "'"}
    )
    return found


LATIN = _latin()


def words(text: str) -> list[bytes]:
    """The tokens of a text, in its order."""
    if not text.isascii():
        text = text.translate(LATIN)
    data = text.encode("ascii", "replace").lower().translate(None, CONTROL)
    data = LINKS.sub(b" \x01 ", data)
    if b"@" in data:
        data = ADDRESSES.sub(b" \x02 ", data)
    data = NUMBERS.sub(NUMBER, data)
    return [NAMES.get(token, token) for token in TOKEN.findall(data) if len(token) <= MAX_LETTERS]


def ngrams(text: str) -> list[bytes]:
    """Each word and each pair of neighbouring words once, in the order of the text."""
    tokens = words(text)
    return list(dict.fromkeys([*tokens, *map(b" ".join, pairwise(tokens))]))


def hashes(found: Sequence[bytes]) -> NDArray[np.uint32]:
    """(n,): the CRC-32 of each, the same in every process and version of Python."""
    return np.fromiter(map(zlib.crc32, found), np.uint32, len(found))
