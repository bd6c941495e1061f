"""ASGI middleware of the API: the limit on bodies, and the port of its own for /metrics."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.errors import ContentTooLarge


class BodyLimit:
    """Stop reading a request's body at the limit, with or without a Content-Length."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that raises ContentTooLarge beyond the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        too_large = declared.isascii() and declared.isdigit() and int(declared) > self._max_bytes
        read = 0

        async def limited() -> Message:
            nonlocal read
            if too_large:
                raise self._error()
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._error()
            return message

        await self._app(scope, limited, send)

    def _error(self) -> ContentTooLarge:
        return ContentTooLarge(
            f"the body is larger than {self._max_bytes:,} bytes; send a smaller image"
        )


class MetricsPort:
    """Send what arrives on the metrics port to the metrics, and nothing else there."""

    def __init__(self, app: ASGIApp, metrics: ASGIApp, port: int) -> None:
        self._app = app
        self._metrics = metrics
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose by the local port of the connection, which no header can forge."""
        server = scope.get("server")
        on_metrics_port = scope["type"] == "http" and server and server[1] == self._port
        await (self._metrics if on_metrics_port else self._app)(scope, receive, send)
