"""/v1/jobs: a job's state, its result and its events; lists of jobs; cancelling, running again."""

import time
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from project.api.dependencies import JobServicesDep
from project.api.jobs import events
from project.api.jobs.schemas import ENDED, JOBS, JobPage, JobView, etag, is_known, result_name
from project.api.jobs.services import ID_DIGITS
from project.api.problems import documented
from project.db.records import Job, Status
from project.errors import FileMissing, InvalidInput, JobConflict
from project.observability import metrics

router = APIRouter(prefix=JOBS, tags=["jobs"])

MAX_LISTED = 100
MAX_NAME = 100
WAY_ON: dict[Status, str] = {
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
        pattern=f"^[0-9a-f]{{{ID_DIGITS}}}$",
        description="Id of a job: those that are older.",
    )
    model: str | None = Field(None, max_length=MAX_NAME, description="Those of this model.")
    status: Status | None = Field(None, description="Those in this state.")


@router.get("", responses=documented(422, 503))
async def list_jobs(wanted: Annotated[Listing, Query()], desk: JobServicesDep) -> JobPage:
    """Jobs, the newest first."""
    if wanted.model is not None and not wanted.model.isidentifier():
        raise InvalidInput(
            "no model can have this name; GET /v1/models lists what is served",
            fields={"model": "not the name of a model"},
        )
    one_more = await desk.jobs.page(wanted.limit + 1, wanted.before, wanted.model, wanted.status)
    jobs = one_more[: wanted.limit]
    following = None
    if len(one_more) > len(jobs):
        query = wanted.model_dump(exclude_none=True) | {"before": jobs[-1].id}
        following = f"{JOBS}?{urlencode(query)}"
    return JobPage(jobs=[JobView.of(job) for job in jobs], next=following)


@router.get("/{job_id}", response_model=JobView, responses={304: {}, **documented(404, 503)})
async def show_job(
    job_id: str,
    request: Request,
    desk: JobServicesDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One job; with `If-None-Match`, 304 while it has not changed."""
    job = await desk.find(job_id)
    request.state.job_id = job.id
    headers = {"ETag": etag(job), "Cache-Control": "no-cache"}
    if is_known(etag(job), if_none_match):
        return Response(status_code=304, headers=headers)
    return _answer(job, headers=headers)


@router.get(
    "/{job_id}/result",
    status_code=307,
    response_class=Response,
    responses={
        307: {"description": "The file is at `Location`, for a while."},
        **documented(404, 409, 503),
    },
)
async def show_result(job_id: str, request: Request, desk: JobServicesDep) -> Response:
    """Where to download the result; the address is good for a while, so it is not to be kept."""
    job = await desk.find(job_id)
    request.state.job_id = job.id
    if job.status != "succeeded" or job.result is None:
        raise _conflict(job, "there is no result")
    if job.files_deleted_at is not None:
        raise FileMissing("the result is deleted by now; send the job again")
    media_type = job.result["media_type"]
    name = result_name(job, media_type)
    url = await desk.storage.url(job.result["key"], media_type, name)
    return Response(status_code=307, headers={"Location": url, "Cache-Control": "no-store"})


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "An event `job` for each change; its id is the revision, its data a job "
            "as GET shows it. Ends when the job has ended.",
            "content": {events.MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
        204: {"description": "The job has ended, and its last event was seen: do not ask again."},
        **documented(404, 422, 503),
    },
)
async def follow_job(
    job_id: str,
    request: Request,
    desk: JobServicesDep,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The job's changes as server-sent events, from the first that `Last-Event-ID` has not seen."""
    seen = events.last_seen(last_event_id)
    job = await desk.find(job_id)
    request.state.job_id = job.id
    if job.status in ENDED and seen == job.revision:
        return Response(status_code=204)
    desk.feed.check_room()
    content = events.stream(desk.feed, job, seen)
    return StreamingResponse(content, headers=events.HEADERS, media_type=events.MEDIA_TYPE)


@router.delete(
    "/{job_id}",
    response_model=JobView,
    responses={
        202: {"model": JobView, "description": "Its worker will cancel it in a moment."},
        **documented(404, 409, 503),
    },
)
async def cancel_job(job_id: str, request: Request, desk: JobServicesDep) -> Response:
    """Cancel a job, unless it has succeeded or failed."""
    known = await desk.find(job_id)
    request.state.job_id = known.id
    now = time.time()
    job = await desk.jobs.cancel(job_id, now) or known
    if job.status in {"succeeded", "failed"}:
        raise _conflict(job, "it cannot be cancelled")
    # No worker will tell of one that waited. Its end bears the time of the call that made it, so
    # that of many at once one counts; revisions would not do, as the mark of being sent has one.
    if job.status == "cancelled" and job.finished_at == now:
        metrics.JOBS.labels(job.model, "cancelled").inc()
    return _answer(job, 200 if job.status == "cancelled" else 202)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=JobView,
    responses=documented(404, 409, 503),
)
async def retry_job(job_id: str, request: Request, desk: JobServicesDep) -> Response:
    """Run a failed job again, as if it never had."""
    job = await desk.find(job_id)
    request.state.job_id = job.id
    if job.status == "failed" and job.files_deleted_at is None:
        await desk.intake.check_room()
    again = await desk.jobs.retry(job_id, time.time())
    if again is None:
        raise _conflict(await desk.find(job_id), "it cannot be run again")
    await desk.intake.send(again)
    return _answer(again, 202)


def _answer(
    job: Job, status: Literal[200, 202] = 200, headers: dict[str, str] | None = None
) -> Response:
    body = JobView.of(job).model_dump_json()
    return Response(body, status, headers, "application/json")


def _conflict(job: Job, what: str) -> JobConflict:
    if job.files_deleted_at is not None:
        return JobConflict(f"{what}: the job has {job.status}, its files are deleted; send it anew")
    way_on = WAY_ON[job.status].replace("{id}", job.id)
    return JobConflict(f"{what}: the job's status is {job.status}; {way_on}")
