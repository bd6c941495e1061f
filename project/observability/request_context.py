"""ASGI middleware around every request: ids, metrics, the access log, and unhandled errors.

The request counter and the duration are prometheus-fastapi-instrumentator's; the rest is here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger
from prometheus_fastapi_instrumentator.metrics import Info
from prometheus_fastapi_instrumentator.middleware import PrometheusInstrumentatorMiddleware
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.observability import sentry
from project.observability.context import REQUEST_ID, accept_request_id, traced
from project.observability.metrics import (
    HTTP_BODY_BYTES,
    HTTP_DURATION,
    HTTP_IN_PROGRESS,
    HTTP_REQUESTS,
    METHODS,
)

QUIET = frozenset({"/health", "/ready", "/metrics"})  # probes and scrapes: not logged, not counted
STREAMS = frozenset({"/v1/jobs/{job_id}/events"})  # their clients choose how long they last
UNMATCHED = "none"
METHOD_NOT_ALLOWED = 405
FAULT = 500
# Only a trusted proxy makes the scheme https (FORWARDED_ALLOW_IPS). A browser then stays with it.
HSTS = ((b"strict-transport-security", b"max-age=31536000"),)


def instrument(app: Starlette) -> None:
    """Count requests by method, route template and exact status.

    The method is one of a closed set, as HTTP servers let through some thirty, and only a request
    that a route answers has its duration observed: a flood of paths or methods adds no series.
    A 5xx counts for availability alone; a 503 in 2 ms would flatter the latency.
    """
    quiet = f"^({'|'.join(sorted(QUIET))})$"
    app.add_middleware(
        _Instrumentator,
        should_group_status_codes=False,
        excluded_handlers=[quiet],
        instrumentations=[_count],
    )


class _Instrumentator(PrometheusInstrumentatorMiddleware):
    """The instrumentator with a cache: by itself it tries all routes for each request.

    The cache holds the paths without parameters: no more than there are routes and methods.
    """

    def __init__(self, app: ASGIApp, /, **options: Any) -> None:
        super().__init__(app, **options)
        self._literal: set[tuple[str, str]] = set()  # method, path that is its own template

    def _get_handler(self, request: Request) -> tuple[str, bool]:
        """Return the template of the route and True; without a route, the path and False."""
        key = request.scope["method"], request.scope["path"]
        if key in self._literal:
            return key[1], True
        handler, templated = super()._get_handler(request)
        if templated and handler == key[1]:
            self._literal.add(key)
        return handler, templated


def _count(info: Info) -> None:
    method = info.method if info.method in METHODS else "other"
    HTTP_REQUESTS.labels(method, info.modified_handler, info.modified_status).inc()
    status = int(info.modified_status)
    answered = status < FAULT and status != METHOD_NOT_ALLOWED
    if answered and info.modified_handler not in {UNMATCHED, *STREAMS}:
        HTTP_DURATION.labels(method, info.modified_handler).observe(info.modified_duration)


@dataclass
class _Traffic:
    """The bytes of one request and its response, and the status."""

    received: int = 0
    sent: int = 0
    status: int = FAULT
    started: bool = False


class RequestContext:
    """Middleware inside the instrumentator, around everything else.

    answer: turns an unhandled exception into a response.
    """

    def __init__(self, app: ASGIApp, answer: Callable[[Exception], Response]) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the session of a WebSocket; pass any other scope on."""
        if scope["type"] == "websocket":
            await self._serve_session(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = accept_request_id(headers.get("x-request-id"))
        token = REQUEST_ID.set(request_id)
        secure = HSTS if scope.get("scheme") == "https" else ()
        traffic = _Traffic()
        began = time.perf_counter()

        async def count_received() -> Message:
            message = await receive()
            traffic.received += len(message.get("body", b""))
            return message

        async def count_sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                traffic.status, traffic.started = message["status"], True
                own = [(b"x-request-id", request_id.encode()), *secure]
                message["headers"] = [*message.get("headers", ()), *own]
            traffic.sent += len(message.get("body", b""))
            await send(message)

        counted = scope["path"] not in QUIET
        HTTP_IN_PROGRESS.inc(counted)
        with traced(headers.get("traceparent")):
            try:
                with sentry.request_scope(lambda: f"{scope['method']} {handler_of(scope)}"):
                    await self._serve(scope, count_received, count_sent, traffic)
            finally:
                HTTP_IN_PROGRESS.dec(counted)
                _log_access(scope, traffic, time.perf_counter() - began)
                REQUEST_ID.reset(token)

    async def _serve_session(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the session its ids; its route counts it, and logs it when it ends."""
        headers = Headers(scope=scope)
        token = REQUEST_ID.set(accept_request_id(headers.get("x-request-id")))
        try:
            with (
                traced(headers.get("traceparent")),
                sentry.request_scope(lambda: f"WEBSOCKET {handler_of(scope)}"),
            ):
                await self._app(scope, receive, send)
        finally:
            REQUEST_ID.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, traffic: _Traffic) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            logger.opt(exception=error).error("request_failed")
            if (
                traffic.started
            ):  # a part of the response is sent: only closing shows that it is incomplete
                raise
            await self._answer(error)(scope, receive, send)


def handler_of(scope: Scope) -> str:
    """Return the template of the route, or the path of the mount, that matched; else `none`."""
    template: str | None = getattr(scope.get("route"), "path", None)
    return template or scope.get("root_path") or UNMATCHED


def _log_access(scope: Scope, traffic: _Traffic, seconds: float) -> None:
    """Log the request by its template; the path, which the client chooses, is never in the log."""
    handler = handler_of(scope)
    if handler in QUIET:
        return
    if traffic.received:
        HTTP_BODY_BYTES.labels(handler).observe(traffic.received)
    client = scope.get("client")
    state = scope.get("state", {})
    about = {"job_id": state["job_id"]} if "job_id" in state else {}
    if "caller" in state:
        about["user_id"] = state["caller"].user_id
    level = "INFO" if traffic.status < FAULT else "WARNING"
    logger.bind(
        method=scope["method"],
        handler=handler,
        status=traffic.status,
        duration_seconds=round(seconds, 6),
        bytes_in=traffic.received,
        bytes_out=traffic.sent,
        model=state.get("model"),
        client=client[0] if client else None,
        **about,
    ).log(level, "request_served")
