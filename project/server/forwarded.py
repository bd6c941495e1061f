"""The client's address behind a proxy whose own address is not known.

It stands alone, as it is an ASGI middleware and no part of the worker that installs it.
"""

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

ANY_PEER = "*"
_FORWARDED_FOR = b"x-forwarded-for"


class ForwardedHops:
    """Middleware that takes the client from X-Forwarded-For, counted from the right.

    Each proxy appends the address of its peer. So the last `hops` addresses are of our own proxies,
    and the first of these is the client's; what stands to the left the client has sent itself.
    Uvicorn alone would take the leftmost, as it trusts any peer.
    """

    def __init__(self, app: ASGIApp, hops: int) -> None:
        self._app = ProxyHeadersMiddleware(app, ANY_PEER)  # type: ignore[arg-type]  # its own types
        self._hops = hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave that address alone in the header, and serve the request."""
        if scope["type"] != "lifespan":
            lines = [value for name, value in scope["headers"] if name == _FORWARDED_FOR]
            if lines:
                addresses = b",".join(lines).split(b",")
                client = addresses[-min(self._hops, len(addresses))].strip()
                others = [item for item in scope["headers"] if item[0] != _FORWARDED_FOR]
                scope["headers"] = [*others, (_FORWARDED_FOR, client)]
        await self._app(scope, receive, send)  # type: ignore[arg-type]
