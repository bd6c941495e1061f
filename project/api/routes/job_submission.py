"""POST /v1/models/{model}/jobs, registered for each model with its own schemas."""

from typing import Any

from fastapi import APIRouter, Request, Response

from project.api.dependencies import job_services_of, state_of
from project.api.jobs.request import (
    KEY_HEADER,
    KEY_PATTERN,
    MAX_KEY,
    idempotency_key,
    images_of,
)
from project.api.jobs.schemas import JOBS, JobView
from project.api.openapi import problem_responses, request_schema
from project.api.requests.body_advice import JSON, in_words
from project.api.requests.disconnect import cancel_on_disconnect, read_with_timeout
from project.api.requests.reader import read_inputs
from project.api.routes.raw_route import RawRoute
from project.inference.images.decoding import READABLE
from project.models.base import AnyModel

REPLAYED = "Idempotency-Replayed"
PROBLEMS = (400, 408, 413, 415, 422, 500, 503)
ACCEPTED = {
    "description": "The job is stored, and will run.",
    "headers": {
        "Location": {"description": "Path of the job.", "schema": {"type": "string"}},
        REPLAYED: {
            "description": "`true` where the Idempotency-Key was known, and this is its job.",
            "schema": {"type": "string"},
        },
    },
}
KEY = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": KEY_PATTERN, "maxLength": MAX_KEY},
    "description": "Your choice, such as a UUID: repeating the request with it adds no second job.",
}


def submit_router(model: AnyModel) -> APIRouter:
    """The route that submits jobs of one model, under its literal path."""
    router = APIRouter(tags=[model.name], route_class=RawRoute)
    names = images_of(model)

    async def submit(request: Request) -> Response:
        submission = job_services_of(request).submission
        request.state.model = model.name
        key = idempotency_key(request)
        seconds = state_of(request)["settings"].body_timeout_seconds
        images, params = await read_with_timeout(seconds, read_inputs(request, names, model.params))
        validated = submission.validate(model, images, params, key)
        job, is_new = await submission.submit(await cancel_on_disconnect(request, validated))
        request.state.job_id = job.id
        headers = {"Location": f"{JOBS}/{job.id}"} | ({} if is_new else {REPLAYED: "true"})
        body = JobView.of(job).model_dump_json()
        return Response(body, 202, headers, JSON)

    router.add_api_route(
        f"/v1/models/{model.name}/jobs",
        submit,
        methods=["POST"],
        status_code=202,
        summary=f"{model.summary} As a job.",
        description=f"{model.summary}\n\n{_usage(model)} Then ask for the job, or follow its "
        "events, until it has ended.",
        operation_id=f"submit_{model.name}",
        response_model=JobView,
        responses={202: ACCEPTED, **problem_responses(*PROBLEMS)},
        openapi_extra=_openapi(model),
    )
    return router


def _usage(model: AnyModel) -> str:
    names = images_of(model)
    if not names:
        return "Send the parameters in the query, as a form or as a JSON object."
    beside = "Parameters stand in the query, in form fields or beside it in the JSON object."
    if len(names) == 1:
        return f"Send one image ({READABLE}) in any of the three ways. {beside}"
    return f"Send the images {in_words(names)} ({READABLE}), as a form or in JSON. {beside}"


def _openapi(model: AnyModel) -> dict[str, Any]:
    described = request_schema(images_of(model), model.params)
    return described | {"parameters": [*described["parameters"], KEY]}
