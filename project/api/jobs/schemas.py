"""Response models of jobs, and the headers that depend on a job."""

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from project.db.records import Input, Job, Status, StoredFile

JOBS = "/v1/jobs"
ENDED: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled"})


class FileView(BaseModel):
    """A stored file."""

    media_type: str
    size: int = Field(description="Bytes.")
    url: str = Field(description="Path that redirects to the file.")


class InputView(FileView):
    """A stored input, under the name that the model has for it."""

    name: str


class JobView(BaseModel):
    """A job. Times are RFC 3339, in UTC."""

    id: str
    model: str
    model_version: str
    status: Status
    progress: float = Field(description="The fraction done, 0 to 1.")
    attempts: int = Field(description="Attempts so far that count against JOB_ATTEMPTS.")
    cancel_requested: bool
    created_at: str
    started_at: str | None
    finished_at: str | None
    retry_at: str | None = Field(description="Earliest time of the next attempt.")
    params: dict[str, Any]
    inputs: list[InputView] = Field(description="Empty once they are deleted.")
    seconds: dict[str, float] = Field(description="Stage → seconds.")
    problem: dict[str, Any] | None = Field(
        description="Why it failed, or why its last attempt did: a problem document without ids."
    )
    result: FileView | None = Field(description="null until it succeeded, and once it is deleted")
    request_id: str | None = Field(description="Of the request that submitted it.")
    trace_id: str | None = Field(description="W3C trace id of that request.")

    @classmethod
    def of(cls, job: Job) -> Self:
        """The view of a job's row."""
        stored = job.files_deleted_at is None
        path = f"{JOBS}/{job.id}"
        return cls(
            id=job.id,
            model=job.model,
            model_version=job.model_version,
            status=job.status,
            progress=job.progress,
            attempts=job.attempts,
            cancel_requested=job.cancel_requested,
            created_at=rfc3339(job.created_at),
            started_at=_time(job.started_at),
            finished_at=_time(job.finished_at),
            retry_at=_time(job.retry_at),
            params=job.params,
            inputs=[_input(path, item) for item in job.inputs] if stored else [],
            seconds=job.seconds,
            problem=job.problem,
            result=_file(f"{path}/result", job.result) if job.result and stored else None,
            request_id=job.request_id,
            trace_id=job.traceparent.split("-")[1] if job.traceparent else None,
        )


class JobPage(BaseModel):
    """Some jobs, the newest first."""

    jobs: list[JobView]
    next: str | None = Field(description="Path of the next page, if there is one.")


def rfc3339(seconds: float) -> str:
    """A time in seconds since 1970 as text, to the millisecond."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _file(path: str, file: StoredFile) -> FileView:
    return FileView(media_type=file["media_type"], size=file["size"], url=path)


def _input(path: str, item: Input) -> InputView:
    file = _file(f"{path}/inputs/{item['name']}", item)
    return InputView(name=item["name"], **vars(file))


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)


def etag(job: Job) -> str:
    """The ETag of a job's view: weak, because another release may serialize it differently."""
    return f'W/"{job.revision}"'


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match contains this ETag (RFC 9110, section 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return bool(tags & {"*", etag.removeprefix("W/")})
