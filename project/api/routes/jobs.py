"""/v1/jobs: lists jobs, shows one, its files and its events, cancels it and retries it."""

import time
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from project.api.auth import CallerDep, require, while_valid
from project.api.dependencies import JobServicesDep
from project.api.jobs import events, file_sender
from project.api.jobs.file_sender import FileSenderDep
from project.api.jobs.schemas import ENDED, JOBS, JobPage, JobView, etag, is_known
from project.api.jobs.services import owner
from project.api.openapi import problem_responses
from project.db.records import ID_PATTERN, Job, Status
from project.errors import FileMissing, InvalidInput, JobConflict
from project.observability import metrics

router = APIRouter(prefix=JOBS, tags=["jobs"], dependencies=[require("jobs")])

# A malformed id is of no job: 404, as for one that is unknown.
JobId = Annotated[str, Path(json_schema_extra={"pattern": ID_PATTERN})]
LastEventId = Annotated[str | None, Header(json_schema_extra={"pattern": events.ID_PATTERN})]

MAX_LISTED = 100
MAX_NAME = 100
NAME_PATTERN = r"^[^\W\d]\w*$"  # an identifier's, as a model's name is one
NEXT_STEP: dict[Status, str] = {
    "accepted": "it waits for a worker; follow its events, and ask when it has succeeded",
    "running": "it runs; follow its events, and ask when it has succeeded",
    "succeeded": "its result is at /v1/jobs/{id}/result",
    "failed": "its `problem` says why; POST /v1/jobs/{id}/retry runs it again",
    "cancelled": "it will not run; send a new one",
}


class Listing(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=MAX_LISTED, description="Jobs on a page.")
    before: str | None = Field(
        None,
        pattern=ID_PATTERN,
        description="Id of a job: those that are older.",
    )
    model: str | None = Field(
        None,
        max_length=MAX_NAME,
        json_schema_extra={"pattern": NAME_PATTERN},
        description="Those of this model.",
    )
    status: Status | None = Field(None, description="Those in this state.")


@router.get("", responses=problem_responses(422, 503))
async def list_jobs(
    query: Annotated[Listing, Query()], services: JobServicesDep, caller: CallerDep
) -> JobPage:
    """Jobs, the newest first."""
    if query.model is not None and not query.model.isidentifier():
        raise InvalidInput(
            "no model can have this name; GET /v1/models lists what is served",
            fields={"model": "not the name of a model"},
        )
    found = await services.queries.page(
        query.limit + 1, query.before, query.model, query.status, owner(caller)
    )
    jobs = found[: query.limit]
    next_page = None
    if len(found) > len(jobs):
        parameters = query.model_dump(exclude_none=True) | {"before": jobs[-1].id}
        next_page = f"{JOBS}?{urlencode(parameters)}"
    return JobPage(jobs=[JobView.of(job) for job in jobs], next=next_page)


@router.get("/{job_id}", response_model=JobView, responses={304: {}, **problem_responses(404, 503)})
async def show_job(
    job_id: JobId,
    request: Request,
    services: JobServicesDep,
    caller: CallerDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One job; with `If-None-Match`, 304 while it has not changed."""
    job = await services.find(job_id, caller)
    request.state.job_id = job.id
    headers = {"ETag": etag(job), "Cache-Control": "no-cache"}
    if is_known(etag(job), if_none_match):
        return Response(status_code=304, headers=headers)
    return _response(job, headers=headers)


@router.get(
    "/{job_id}/result",
    status_code=307,
    response_class=Response,
    responses={**file_sender.RESPONSES, **problem_responses(409)},
)
async def show_result(
    job_id: JobId,
    request: Request,
    services: JobServicesDep,
    caller: CallerDep,
    sender: FileSenderDep,
) -> Response:
    """Redirect to the result; the URL expires, so do not store it."""
    job = await services.find(job_id, caller)
    request.state.job_id = job.id
    if job.status != "succeeded" or job.result is None:
        raise _conflict(job, "there is no result")
    if job.files_deleted_at is not None:
        raise FileMissing("the result is deleted by now; send the job again")
    return await sender.send(job.result, job.model, job.id)


@router.get(
    "/{job_id}/inputs/{name}",
    status_code=307,
    response_class=Response,
    responses=file_sender.RESPONSES,
)
async def show_input(
    job_id: str,
    name: str,
    request: Request,
    services: JobServicesDep,
    caller: CallerDep,
    sender: FileSenderDep,
) -> Response:
    """Redirect to an input; the URL expires, so do not store it."""
    job = await services.find(job_id, caller)
    request.state.job_id = job.id
    found = {item["name"]: item for item in job.inputs}
    if name not in found:
        names = ", ".join(found) or "none"
        raise FileMissing(f"the job has no input of this name; its inputs: {names}")
    if job.files_deleted_at is not None:
        raise FileMissing("the input is deleted by now; send it again as a new job")
    return await sender.send(found[name], job.model, job.id, name)


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "An event `job` for each change; its id is the revision, its data a job "
            "as GET shows it. Ends when the job has ended. The schema is that of one event.",
            "content": {events.MEDIA_TYPE: {"schema": events.EVENT_SCHEMA}},
        },
        204: {"description": "The job has ended, and its last event was seen: do not ask again."},
        **problem_responses(404, 422, 503),
    },
)
async def follow_job(
    job_id: JobId,
    request: Request,
    services: JobServicesDep,
    caller: CallerDep,
    last_event_id: LastEventId = None,
) -> Response:
    """The job's changes as server-sent events, after the one that `Last-Event-ID` names."""
    seen = events.last_event_id(last_event_id)
    job = await services.find(job_id, caller)
    request.state.job_id = job.id
    if job.status in ENDED and seen == job.revision:
        return Response(status_code=204)
    user_id = caller.user_id if caller else None
    services.feed.check_capacity(user_id)
    changes = events.stream(services.feed, job, seen, user_id=user_id)
    content = while_valid(request, "jobs", changes)
    return StreamingResponse(content, headers=events.HEADERS, media_type=events.MEDIA_TYPE)


@router.delete(
    "/{job_id}",
    response_model=JobView,
    responses={
        202: {"model": JobView, "description": "Its worker will cancel it in a moment."},
        **problem_responses(404, 409, 503),
    },
)
async def cancel_job(
    job_id: JobId, request: Request, services: JobServicesDep, caller: CallerDep
) -> Response:
    """Cancel a job, unless it has succeeded or failed."""
    request.state.job_id = (await services.find(job_id, caller)).id
    changed = await services.transitions.cancel(job_id, time.time())
    if changed and changed.status == "cancelled":  # no worker runs it, so none counts it
        metrics.JOBS.labels(changed.model, "cancelled").inc()
        await services.submission.sender.job_ended(changed)
    job = changed or await services.find(job_id, caller)
    if job.status in {"succeeded", "failed"}:
        raise _conflict(job, "it cannot be cancelled")
    return _response(job, 200 if job.status == "cancelled" else 202)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=JobView,
    responses=problem_responses(404, 409, 503),
)
async def retry_job(
    job_id: JobId, request: Request, services: JobServicesDep, caller: CallerDep
) -> Response:
    """Run a failed job again, from its first attempt."""
    job = await services.find(job_id, caller)
    request.state.job_id = job.id
    if job.status == "failed" and job.files_deleted_at is None:
        await services.submission.check_capacity(caller)
    reset = await services.submission.retry(job, caller)
    if reset is None:
        raise _conflict(await services.find(job_id, caller), "it cannot be run again")
    return _response(reset, 202)


def _response(
    job: Job, status: Literal[200, 202] = 200, headers: dict[str, str] | None = None
) -> Response:
    body = JobView.of(job).model_dump_json()
    return Response(body, status, headers, "application/json")


def _conflict(job: Job, what: str) -> JobConflict:
    if job.files_deleted_at is not None:
        return JobConflict(f"{what}: the job has {job.status}, its files are deleted; send it anew")
    next_step = NEXT_STEP[job.status].replace("{id}", job.id)
    return JobConflict(f"{what}: the job's status is {job.status}; {next_step}")
