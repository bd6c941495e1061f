"""POST /v1/models/{model}/jobs, registered for each model with its own schemas."""

from typing import Any

from fastapi import APIRouter, Request, Response

from project.api.auth import check_scope
from project.api.dependencies import job_services_of, state_of
from project.api.jobs.schemas import JOBS, JobView
from project.api.jobs.submission import KEY_HEADER, KEY_PATTERN, MAX_KEY, idempotency_key
from project.api.openapi import problem_responses, request_schema, usage
from project.api.requests.body_advice import JSON
from project.api.requests.disconnect import cancel_on_disconnect, read_with_timeout
from project.api.requests.reader import read_request
from project.api.routes.raw_route import RawRoute
from project.models.base import AnyModel

REPLAYED = "Idempotency-Replayed"
PROBLEMS = (400, 408, 413, 415, 422, 500, 503)
ACCEPTED: dict[str, Any] = {
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


async def submit_job(request: Request, model: AnyModel, *, takes_quality: bool = False) -> Response:
    """Read a request, submit its job, and answer 202.

    takes_quality: allow the quality of a picture as the answer, which no job has.
    """
    settings, submission = state_of(request)["settings"], job_services_of(request).submission
    request.state.model = model.name
    caller, accounts = check_scope(request, "jobs"), state_of(request)["accounts"]
    rate = await accounts.take_rate(caller) if accounts and caller else None
    key = idempotency_key(request)
    reading = read_request(request, model, settings.max_text_length, takes_quality=takes_quality)
    asked = await read_with_timeout(settings.body_timeout_seconds, reading)
    validated = submission.validate(model, asked, key)
    job, is_new = await submission.submit(await cancel_on_disconnect(request, validated), caller)
    request.state.job_id = job.id
    headers = {"Location": f"{JOBS}/{job.id}"} | ({} if is_new else {REPLAYED: "true"})
    if accounts and caller:
        headers |= accounts.limit_headers(caller, rate)
    return Response(JobView.of(job).model_dump_json(), 202, headers, JSON)


def submit_router(model: AnyModel) -> APIRouter:
    """The route that submits jobs of one model, under its literal path."""
    router = APIRouter(tags=[model.name], route_class=RawRoute)

    async def submit(request: Request) -> Response:
        return await submit_job(request, model)

    router.add_api_route(
        f"/v1/models/{model.name}/jobs",
        submit,
        methods=["POST"],
        status_code=202,
        summary=f"{model.summary} As a job.",
        description=f"{model.summary}\n\n{usage(model)} Then ask for the job, or follow its "
        "events, until it has ended.",
        operation_id=f"submit_{model.name}",
        response_model=JobView,
        responses={202: ACCEPTED, **problem_responses(*PROBLEMS)},
        openapi_extra=_openapi(model),
    )
    return router


def _openapi(model: AnyModel) -> dict[str, Any]:
    described = request_schema(model)
    return described | {"parameters": [*described["parameters"], KEY]}
