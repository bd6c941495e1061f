"""ASGI middleware of the API: the limit on bodies, and the port of its own for /metrics."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.errors import ContentTooLarge

DISCARD_BYTES = 100 * 2**20  # of a body that was refused, so much is still taken in
DISCARD_SECONDS = 30.0  # and for so long, as nginx's lingering_time has it
SILENCE_SECONDS = 5.0  # and while no pause is longer, as its lingering_timeout
MAX_DIGITS = 18  # of a Content-Length; Python refuses to read numbers of thousands


class BodyLimit:
    """Stop reading a request's body at the limit, with or without a Content-Length."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that raises ContentTooLarge beyond the limit."""
        if scope["type"] == "http":
            upload = _Upload(scope, receive, send, self._max_bytes)
            receive, send = upload.receive, upload.send
        await self._app(scope, receive, send)


class _Upload:
    """One request's body.

    Where it is refused, the rest is thrown away for a while before the connection closes: one that
    closes on unread bytes is torn down, and a client still sending would never see the refusal.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_bytes: int) -> None:
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        digits = declared.lstrip("0") if declared.isascii() and declared.isdigit() else ""
        self._too_large = len(digits) > MAX_DIGITS or int(digits or 0) > max_bytes
        self._awaits_leave = headers.get("expect", "").lower() == "100-continue"
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._read = 0
        self._over = False  # all of it has come, or its sender has gone
        self._refused = False

    async def receive(self) -> Message:
        """The next piece. Raises ContentTooLarge beyond the limit."""
        if not self._too_large:
            message = await self._next()
            if self._read <= self._max_bytes:
                return message
        self._refused = True
        raise ContentTooLarge(
            f"the body is larger than {self._max_bytes:,} bytes; send a smaller image"
        )

    async def send(self, message: Message) -> None:
        """Send on; the end of a refusal waits until its client can have read it."""
        ends = message["type"] == "http.response.body" and not message.get("more_body")
        if not (self._refused and ends):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            await self._discard()
        await self._send({"type": "http.response.body"})

    async def _discard(self) -> None:
        if self._awaits_leave and not self._read:
            return  # it was never told to send
        most = self._read + DISCARD_BYTES
        async with asyncio.timeout(DISCARD_SECONDS):
            while not self._over and self._read < most:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self._over = not message.get("more_body", False)
        return message


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
