"""The type of settings that are lists of origins (RFC 6454): scheme, host and port of a page."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
DEFAULT_PORTS = {"http": 80, "https": 443}
ADVICE = (
    "write each as a browser sends it, with commas between them: "
    "https://app.example.com or http://localhost:3000; * is not accepted"
)


def _parse(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(origin.strip() for origin in value.split(",") if origin.strip())


def _check(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_is_origin, value)):
        raise ValueError(ADVICE)
    return value


def _is_origin(text: str) -> bool:
    """Whether a browser would send exactly this as Origin."""
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        return False
    if not host or not _HOST.fullmatch(host):
        return False
    if parts.scheme not in DEFAULT_PORTS or port == DEFAULT_PORTS[parts.scheme]:
        return False
    host = f"[{host}]" if ":" in host else host
    return text == f"{parts.scheme}://{host}" + (f":{port}" if port else "")


Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse), AfterValidator(_check)]
