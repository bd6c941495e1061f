"""Keys, media types and download names of files: what is valid, and how they are written."""

import mimetypes
import re
from urllib.parse import quote

MAX_CHARACTERS = 512
_PART = "[a-z0-9_][a-z0-9_.-]{0,127}"  # no leading dot: neither `..` nor hidden files
_KEY = re.compile(f"{_PART}(/{_PART})*")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*(; ?charset=[a-z0-9-]+)?")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")  # in a filename: line breaks and path separators
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 ._()+-]")  # what old browsers cannot read in quotes


def is_key(key: str) -> bool:
    """Whether a key is valid: parts of a-z, 0-9, `_`, `.` and `-`, separated by slashes."""
    return len(key) <= MAX_CHARACTERS and ".." not in key and bool(_KEY.fullmatch(key))


def check_key(key: str) -> None:
    """Raise ValueError for an invalid key; keys are ours, so that is a fault of the server."""
    if not is_key(key):
        raise ValueError(f"no key of a file: {key[:MAX_CHARACTERS]!r}")


def check_media_type(media_type: str) -> None:
    """Raise ValueError for what is not a valid Content-Type."""
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError(f"no media type: {media_type[:MAX_CHARACTERS]!r}")


def download_name(*words: str, media_type: str) -> str:
    """The file name under which a client saves a file: the words, and the media type's suffix."""
    suffix = mimetypes.guess_extension(media_type.partition(";")[0].strip()) or ""
    return "-".join(words) + suffix


def disposition(filename: str) -> str:
    """The Content-Disposition of a download under this name (RFC 6266, appendix D).

    A name beyond plain ASCII is also in `filename*`, which clients that know it prefer.
    """
    name = _UNSAFE.sub("_", filename)
    plain = _NOT_PLAIN.sub("_", name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'
