"""Every error as a problem document (RFC 9457) that says what to do and shows no inside."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from loguru import logger
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from project.errors import (
    CallerGone,
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
_ADVICE = {
    404: "nothing is at this path; GET /v1/models lists what is served, /docs shows all routes",
    405: "this path does not take this method; the Allow header names those that it takes",
}


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="Which error: `urn:vitrine:problem:` and a name that stays.")
    title: str = Field(description="The error's name for people.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What went wrong and what to do.")
    request_id: str | None = Field(description="Id of this request, in every log line of it.")
    trace_id: str | None = Field(description="W3C trace id of this request.")
    errors: dict[str, str] | None = Field(None, description="Parameter → what is wrong with it.")


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    slug: str | None = None,
    headers: Mapping[str, str] | None = None,
    fields: dict[str, str] | None = None,
) -> Response:
    """Build the response. slug: the last part of `type`; without one it is about:blank."""
    body = Problem(
        type=problem_type(slug) if slug else "about:blank",
        title=title,
        status=status,
        detail=detail,
        request_id=REQUEST_ID.get(),
        trace_id=current_trace()[0],
        errors=fields or None,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True), status, dict(headers or {}), media_type=MEDIA_TYPE
    )


def unexpected(_error: Exception) -> Response:
    """The answer to an error that nobody caught; what it was stands in the log alone."""
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
    app.add_exception_handler(ProjectError, cast("Any", _project_error))
    app.add_exception_handler(HTTPException, cast("Any", _http_error))
    app.add_exception_handler(RequestValidationError, cast("Any", _validation_error))
    app.add_exception_handler(ClientDisconnect, _hung_up)
    app.openapi = _exact_openapi(app.openapi)  # type: ignore[method-assign]


def _exact_openapi(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """FastAPI describes each model as plain JSON too; a problem never is."""

    def openapi() -> dict[str, Any]:
        document = make()
        operations = [one for item in document["paths"].values() for one in item.values()]
        for response in [one for each in operations for one in each["responses"].values()]:
            if MEDIA_TYPE in response.get("content", {}):
                response["content"].pop("application/json", None)
        return document

    return openapi


async def _project_error(_request: Request, error: ProjectError) -> Response:
    if isinstance(error, CallerGone):
        return Response(status_code=error.status)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.__cause__ is not None:
        _report_fault(error)
    reason = "overload" if error.slug == "overloaded" else _REASONS.get(error.status)
    _count_rejection(reason)
    return problem(
        error.status,
        error.title,
        error.detail,
        slug=error.slug,
        headers=error.headers,
        fields=error.fields,
    )


def _report_fault(error: ProjectError) -> None:
    """A fault of ours is logged as an error with its cause; what may pass is a warning."""
    about = error.about if isinstance(error, ModelFailed) else {}
    log = logger.bind(problem=error.slug, **about)
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.opt(exception=error.__cause__).error("prediction_failed")
    elif isinstance(error, DeadlineExceeded):
        log.warning("prediction_gave_up")
    else:
        log.warning("request_gave_up")


async def _http_error(_request: Request, error: HTTPException) -> Response:
    _count_rejection(_REASONS.get(error.status_code))
    title = HTTPStatus(error.status_code).phrase
    detail = _ADVICE.get(error.status_code) or str(error.detail)
    return problem(error.status_code, title, detail, headers=error.headers)


async def _validation_error(_request: Request, error: RequestValidationError) -> Response:
    _count_rejection("invalid")
    fields = {".".join(map(str, item["loc"])): str(item["msg"]) for item in error.errors()}
    return problem(
        422,
        "Invalid input",
        "correct the parameters named in errors; /docs shows what is taken",
        slug="invalid-input",
        fields=fields,
    )


async def _hung_up(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CallerGone.status)


def _count_rejection(reason: str | None) -> None:
    if reason:
        HTTP_REJECTED.labels(reason).inc()


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content, "model": Problem}
        for status in statuses
    }
