"""ASGI middleware: the limit on request bodies, and what happens to the rest of a rejected one."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.errors import ContentTooLarge

# The rest of a rejected body is read until one of these bounds is reached.
DISCARD_BYTES = 100 * 2**20
DISCARD_SECONDS = 30.0  # as nginx's lingering_time
IDLE_SECONDS = 5.0  # between two pieces; as nginx's lingering_timeout
MAX_DIGITS = 18  # of a Content-Length; Python refuses to read numbers of thousands


class BodyLimit:
    """Stops reading a request's body at the limit, with or without a Content-Length."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that raises ContentTooLarge beyond the limit."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            upload = _Upload(headers, receive, send, self._max_bytes)
            receive, send = upload.receive, upload.send
        await self._app(scope, receive, send)


class _Upload:
    """The body of one request.

    The rest of a rejected body is read and discarded before the connection closes: closing with
    unread bytes resets the connection, and a client that still sends would never see the response.
    """

    def __init__(self, headers: Headers, receive: Receive, send: Send, max_bytes: int) -> None:
        declared = headers.get("content-length", "0")
        digits = declared.lstrip("0") if declared.isascii() and declared.isdigit() else ""
        self._too_large = len(digits) > MAX_DIGITS or int(digits or 0) > max_bytes
        self._expects_continue = headers.get("expect", "").lower() == "100-continue"
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._read = 0
        self._complete = False  # all of it is read, or the client has disconnected
        self._rejected = False

    async def receive(self) -> Message:
        """Return the next piece. Raises ContentTooLarge beyond the limit."""
        if not self._too_large:
            message = await self._next()
            if self._read <= self._max_bytes:
                return message
        self._rejected = True
        raise ContentTooLarge(
            f"the body is larger than {self._max_bytes:,} bytes; send a smaller image"
        )

    async def send(self, message: Message) -> None:
        """Pass the message on; the end of a rejection waits until the client can have read it."""
        ends = message["type"] == "http.response.body" and not message.get("more_body")
        if not (self._rejected and ends):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            await self._discard()
        await self._send({"type": "http.response.body"})

    async def _discard(self) -> None:
        if self._expects_continue and not self._read:
            return  # the client got no 100 Continue, so it sends no body
        end = self._read + DISCARD_BYTES
        async with asyncio.timeout(DISCARD_SECONDS):
            while not self._complete and self._read < end:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message
