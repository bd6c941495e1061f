"""POST /v1/models/{model}/predictions, registered for each model with its own schemas."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import APIRouter, Request, Response
from PIL import Image

from project.api.auth import check_scope
from project.api.dependencies import state_of
from project.api.jobs.schemas import JobView
from project.api.jobs.submission import idempotency_key
from project.api.openapi import picture_responses, problem_responses, request_schema, usage
from project.api.requests.body_advice import JSON
from project.api.requests.disconnect import cancel_on_disconnect, read_with_timeout
from project.api.requests.preferences import RESPOND_ASYNC, preferred_type, prefers_job
from project.api.requests.reader import read_request
from project.api.routes.job_submission import ACCEPTED, KEY, submit_job
from project.api.routes.raw_route import RawRoute
from project.errors import RunsInBackground
from project.inference.encoding import PICTURES, Encoding, media_types
from project.inference.model_queue import Prediction
from project.models.base import AnyModel
from project.observability import metrics

PROBLEMS = (400, 406, 408, 413, 415, 422, 500, 503, 504)
PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": [RESPOND_ASYNC]},
    "description": f"`{RESPOND_ASYNC}` makes a job of it, and answers 202 at once (RFC 7240).",
}

ALWAYS = {"type": "string", "enum": [RESPOND_ASYNC]}  # of a model in the background


def predictions_router(model: AnyModel, *, jobs: bool) -> APIRouter:
    """Build the route of one model, under its literal path. jobs: whether jobs are on."""
    router = APIRouter(tags=[model.name], route_class=RawRoute)
    offered = media_types(model)

    async def predict(request: Request) -> Response:
        began = time.perf_counter()
        request.state.model = model.name
        caller = check_scope(request, "predict")
        if jobs and prefers_job(request):
            response = await submit_job(request, model, takes_quality=len(offered) > 1)
            response.headers["Preference-Applied"] = RESPOND_ASYNC
            return response
        if model.background:
            raise RunsInBackground(
                f"{model.name} takes longer than a client should wait: send the header "
                f"`Prefer: {RESPOND_ASYNC}`, or POST to /v1/models/{model.name}/jobs"
            )
        if jobs:
            idempotency_key(request)  # of no use without a job, but a wrong one is a mistake
        accounts = state_of(request)["accounts"]
        if caller is None or accounts is None:
            response = await answer(request)
        else:
            async with accounts.charge(caller) as charge:
                response = await answer(request, batch=caller.priority == "batch")
            response.headers.update(charge.headers)
        _count_latency(model, time.perf_counter() - began)
        return response

    async def answer(request: Request, *, batch: bool = False) -> Response:
        state = state_of(request)
        settings = state["settings"]
        media_type = preferred_type(request, offered)
        with state["runner"].admit(model.name, batch=batch) as slot:
            reading = read_request(
                request, model, settings.max_text_length, takes_quality=len(offered) > 1
            )
            asked = await read_with_timeout(settings.body_timeout_seconds, reading)
            encoding = Encoding(media_type, asked.quality)
            predicting = slot.predict(asked.raw, asked.params, encoding)
            prediction = await cancel_on_disconnect(request, predicting)
        return Response(
            prediction.body,
            media_type=prediction.media_type,
            headers=headers(prediction, varies=len(offered) > 1),
        )

    router.add_api_route(
        f"/v1/models/{model.name}/predictions",
        predict,
        methods=["POST"],
        summary=model.summary,
        description=_description(model, offered, jobs=jobs),
        operation_id=f"predict_{model.name}",
        response_model=None if issubclass(model.result, Image.Image) else model.result,
        responses=_responses(offered, jobs=jobs),
        openapi_extra=_openapi(model, offered, jobs=jobs),
    )
    return router


def _count_latency(model: AnyModel, seconds: float) -> None:
    """Count an answer as good or slow; how fast its client reads it is not the model's."""
    increment = _latency_counter(model.name, "good" if seconds <= model.slo_seconds else "slow")
    increment()


@cache
def _latency_counter(model: str, result: str) -> Callable[[], None]:
    """Return what counts one answer of a model; cached, because every prediction needs it."""
    return metrics.SLO_LATENCY.labels(model, result).inc


def headers(prediction: Prediction, *, varies: bool) -> dict[str, str]:
    """Return `Server-Timing`, with a cache `Cache-Status` (RFC 9211), and `Vary`."""
    found = {"Vary": "Accept"} if varies else {}
    if prediction.seconds:
        found["Server-Timing"] = server_timing(prediction.seconds)
    if prediction.cached is not None:
        found["Cache-Status"] = "vitrine; hit" if prediction.cached else "vitrine; fwd=miss"
    return found


def server_timing(seconds: dict[str, float]) -> str:
    """Return the header's value (W3C Server Timing): each stage with its milliseconds."""
    return ", ".join(f"{stage};dur={value * 1000:.2f}" for stage, value in seconds.items())


def _description(model: AnyModel, offered: tuple[str, ...], *, jobs: bool) -> str:
    parts = [usage(model)]
    if len(offered) > 1:
        parts.append(
            f"`Accept` chooses what the answer is: {', '.join(offered)}; the first is usual."
        )
    if model.background:
        parts.append(f"It takes long: the header `Prefer: {RESPOND_ASYNC}` is required.")
    elif jobs:
        parts.append(f"With the header `Prefer: {RESPOND_ASYNC}` it runs as a job.")
    parts.append(
        "The header `Server-Timing` has each stage's milliseconds; with a result cache, "
        "`Cache-Status` says whether this result was in it."
    )
    return f"{model.summary}\n\n{' '.join(parts)}"


def _responses(offered: tuple[str, ...], *, jobs: bool) -> dict[int | str, dict[str, Any]]:
    responses = problem_responses(*PROBLEMS)
    if any(media_type in PICTURES for media_type in offered):
        responses[200] = picture_responses(offered, is_picture=offered[0] != JSON)
    if jobs:
        responses[202] = {
            "model": JobView,
            **ACCEPTED,
            "headers": {
                **ACCEPTED["headers"],
                "Preference-Applied": {"schema": {"type": "string"}},
            },
        }
    return responses


def _openapi(model: AnyModel, offered: tuple[str, ...], *, jobs: bool) -> dict[str, Any]:
    described = request_schema(model, takes_quality=len(offered) > 1)
    prefer = {**PREFER, "required": True, "schema": ALWAYS} if model.background else PREFER
    more = [prefer, KEY] if jobs else []
    return described | {"parameters": [*described["parameters"], *more]}
