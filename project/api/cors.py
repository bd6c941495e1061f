"""CORS: which pages of other sites may read our answers, and which headers of them.

Credentials in the sense of CORS (cookies) are never allowed: clients send tokens, which a page has
to hold itself.
"""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    *("Authorization", "Idempotency-Key", "Last-Event-ID", "Prefer"),
    *("If-None-Match", "X-Request-ID", "traceparent", "tracestate"),
)
EXPOSED = (
    *("Cache-Status", "Content-Disposition", "ETag", "Idempotency-Replayed", "Location"),
    *("Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After", "Server-Timing"),
    *("WWW-Authenticate", "X-Request-ID"),
)


def cors_middleware(origins: tuple[str, ...]) -> list[Middleware]:
    """Return the middleware for pages of these origins; without one, none."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=frozenset(origins),
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED,
        )
    ]


def cors_headers(origin: bytes | None, origins: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    """Return the headers that the middleware would add to the answer to a request.

    origin: the request's Origin. For what answers without the application.
    """
    if not origins:
        return []
    vary = (b"vary", b"Origin")
    if origin is None or origin.decode("latin-1") not in origins:
        return [vary]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
        vary,
    ]
