"""The Origin of a WebSocket: pages of other sites may not open one, as CORS does not cover them.

It stands alone because whatever else opens WebSockets has to check the same.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from project.errors import Forbidden

DEFAULT_PORTS = {"http": 80, "https": 443}


def check_origin(headers: Headers, allowed: Collection[str] = ()) -> None:
    """Raise Forbidden where a page of another host opens the connection.

    allowed: origins whose pages may do so all the same, as in CORS_ORIGINS.
    Browsers alone send Origin; without one, it is no page. The scheme is not compared: a proxy that
    ends TLS speaks plain HTTP to us.
    """
    origin = headers.get("origin")
    if origin is None or origin in allowed:
        return
    scheme, host = _split(origin)
    default = DEFAULT_PORTS.get(scheme)
    if default is None or host != _split(f"{scheme}://{headers.get('host', '')}")[1]:
        raise Forbidden(
            "this page's Origin is another host than this server's; open it from here, "
            "or name the Origin in CORS_ORIGINS"
        )


def _split(url: str) -> tuple[str, tuple[str, int | None]]:
    """Scheme, and host with port; nothing where the URL is malformed."""
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme))
    except ValueError:
        return "", ("", None)
