"""Problem documents (RFC 9457): every error says what to do and reveals no internals."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from loguru import logger
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from project.errors import (
    ClientDisconnected,
    DeadlineExceeded,
    ModelFailed,
    ProjectError,
    problem_type,
)
from project.observability.context import REQUEST_ID, current_trace
from project.observability.metrics import HTTP_REJECTED

MEDIA_TYPE = "application/problem+json"
_REASONS = {
    400: "invalid",
    401: "unauthorized",
    403: "unauthorized",
    413: "too_large",
    415: "invalid",
    422: "invalid",
}
_REASONS_BY_SLUG = {
    "overloaded": "overload",
    "quota-exceeded": "quota",
    "rate-limited": "rate",
}
_ADVICE = {
    404: "nothing is at this path; GET /v1/models lists what is served{docs}",
    405: "this path does not take this method; the Allow header names those that it takes",
}


class Problem(BaseModel):
    """An error, as RFC 9457 defines it."""

    type: str = Field(description="Which error: `urn:vitrine:problem:` and a name that stays.")
    title: str = Field(description="The error's name for people.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What went wrong and what to do.")
    request_id: str | None = Field(description="Id of this request, in every log line of it.")
    trace_id: str | None = Field(description="W3C trace id of this request.")
    errors: dict[str, str] | None = Field(None, description="Parameter → what is wrong with it.")


@dataclass(frozen=True)
class Ids:
    """The ids of a request, which its problem document and its log lines carry."""

    request_id: str | None
    trace_id: str | None

    @classmethod
    def current(cls) -> Self:
        """Those of the request that runs now."""
        return cls(REQUEST_ID.get(), current_trace()[0])


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    slug: str | None = None,
    headers: Mapping[str, str] | None = None,
    fields: dict[str, str] | None = None,
    ids: Ids | None = None,
) -> Response:
    """Build the response, the one builder of every problem document.

    slug: the last part of `type`; without one it is about:blank. fields: parameter → what is wrong
    with it. ids: by default those of the request that runs now.
    """
    ids = ids or Ids.current()
    body = Problem(
        type=problem_type(slug) if slug else "about:blank",
        title=title,
        status=status,
        detail=detail,
        request_id=ids.request_id,
        trace_id=ids.trace_id,
        errors=fields or None,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True), status, dict(headers or {}), media_type=MEDIA_TYPE
    )


def problem_of(error: ProjectError, ids: Ids | None = None) -> Response:
    """Build the response to one of our errors."""
    return problem(
        error.status,
        error.title,
        error.detail,
        slug=error.slug,
        headers=error.headers,
        fields=error.fields,
        ids=ids,
    )


def unexpected(_error: Exception) -> Response:
    """Build the response to an error that nothing caught; the log alone says what it was."""
    return problem(
        500,
        "Internal error",
        "this is our fault, not yours; try again, and report the request_id if it stays",
        slug="internal-error",
    )


def register(app: FastAPI) -> None:
    """Answer every error of the app with a problem document.

    The handlers are coroutines, as Starlette runs plain functions in one of forty threads.
    """
    app.add_exception_handler(ProjectError, cast("Any", answer_error))
    app.add_exception_handler(HTTPException, cast("Any", _http_error))
    app.add_exception_handler(RequestValidationError, cast("Any", _validation_error))
    app.add_exception_handler(ClientDisconnect, _client_disconnected)


async def answer_error(_request: Request, error: ProjectError) -> Response:
    """Build the response to one of our errors; log it if it is a fault, and count a rejection."""
    if isinstance(error, ClientDisconnected):
        return Response(status_code=error.status)
    if is_fault(error):
        log_fault(error)
    _count_rejection(_REASONS_BY_SLUG.get(error.slug) or _REASONS.get(error.status))
    return problem_of(error)


def is_fault(error: ProjectError) -> bool:
    """Whether the server is to blame, and not only busy: something went wrong beneath."""
    return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.__cause__ is not None


def log_fault(error: ProjectError) -> None:
    """Log a fault of ours as an error with its cause, and what may pass as a warning."""
    about = error.about if isinstance(error, ModelFailed) else {}
    log = logger.bind(problem=error.slug, **about)
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.opt(exception=error.__cause__).error("prediction_failed")
    elif isinstance(error, DeadlineExceeded):
        log.warning("prediction_gave_up")
    else:
        log.warning("request_gave_up")


async def _http_error(request: Request, error: HTTPException) -> Response:
    _count_rejection(_REASONS.get(error.status_code))
    title = HTTPStatus(error.status_code).phrase
    detail = _ADVICE.get(error.status_code, "{detail}").format(
        detail=error.detail, docs=", /docs shows all routes" if request.app.openapi_url else ""
    )
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allow(request, headers.get("Allow", ""))
    return problem(error.status_code, title, detail, headers=headers)


def _allow(request: Request, named: str) -> str:
    """Return `Allow` with the methods of all routes of the path (RFC 9110, section 10.2.1).

    named: the methods that the first route names, or the mounted application.
    """
    methods = {method.strip() for method in named.split(",") if method.strip()}
    root = request.scope.get("app_root_path", request.scope.get("root_path", ""))
    scope = {**request.scope, "root_path": root}  # as before a mount has changed it
    for route in iter_route_contexts(request.app.routes):
        if route.methods and route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods
    return ", ".join(sorted(methods))


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    _count_rejection("invalid")
    fields = {".".join(map(str, item["loc"])): str(item["msg"]) for item in error.errors()}
    return problem(
        422,
        "Invalid input",
        "correct the parameters named in errors"
        + ("; /docs shows what is taken" if request.app.openapi_url else ""),
        slug="invalid-input",
        fields=fields,
    )


async def _client_disconnected(_request: Request, _error: Exception) -> Response:
    return Response(status_code=ClientDisconnected.status)


def _count_rejection(reason: str | None) -> None:
    if reason:
        HTTP_REJECTED.labels(reason).inc()
