"""The errors that callers can cause or meet, each with its HTTP status and advice.

ProjectError 500
├── ConfigurationError          the process cannot start as it is set
├── BackendUnavailable          a faster way to run a net cannot serve; torch does
├── InvalidInput 422            what was sent cannot be used
│   └── InvalidImage 422
├── ContentTooLarge 413
├── UnsupportedMediaType 415
├── SlowUpload 408
├── CallerGone 499              nobody reads the answer
├── Unauthorized 401
├── Forbidden 403
├── CacheUnavailable 503        kept results cannot be cleared now
├── DatabaseUnavailable 503     jobs cannot be kept or read now
├── StorageUnavailable 503      files cannot be kept or read now
├── FileMissing 404             the file is not there, or no longer
├── BrokerUnavailable 503       the queue of jobs does not answer
├── JobNotFound 404
├── JobConflict 409             the job is not in a state that allows this
├── JobTooLong 422              it took longer than a job may
├── Overloaded 503              the model's queue is full, or too many jobs wait
├── ModelUnavailable 503        its weights did not load
├── DeadlineExceeded 504
└── ModelFailed 500             the model raised; the one that is a fault of ours
"""

from typing import ClassVar


class ProjectError(Exception):
    """Base: `detail` says what to do; `status`, `slug` and `title` go into the problem document."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, fields: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields or {}

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that belong to this error."""
        return {}


def problem_type(slug: str) -> str:
    """The `type` of a problem of ours, a URN as RFC 9457 allows."""
    return f"urn:vitrine:problem:{slug}"


class ConfigurationError(ProjectError):
    """The process cannot start as it is set."""


class BackendUnavailable(ProjectError):
    """A faster way to run a net is not installed, broke, or gave other answers."""


class InvalidInput(ProjectError):
    """What was sent cannot be used; `fields` maps a parameter's name to its fault."""

    status, slug, title = 422, "invalid-input", "Invalid input"


class InvalidImage(InvalidInput):
    """The bytes are no image that we read, or one beyond the limits."""

    slug, title = "invalid-image", "Invalid image"


class ContentTooLarge(ProjectError):
    """The body is beyond the limit."""

    status, slug, title = 413, "content-too-large", "Content too large"

    @property
    def headers(self) -> dict[str, str]:
        """Close the connection: the rest of the body is not read."""
        return {"Connection": "close"}


class UnsupportedMediaType(ProjectError):
    """The body's Content-Type is none that the route takes."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class SlowUpload(ProjectError):
    """The body did not come within the time it has."""

    status, slug, title = 408, "slow-upload", "Slow upload"

    @property
    def headers(self) -> dict[str, str]:
        """Close the connection: the rest of the body is not read."""
        return {"Connection": "close"}


class CallerGone(ProjectError):
    """The caller hung up; the status, nginx's, is for the metrics and the log alone."""

    status, slug, title = 499, "caller-gone", "Caller gone"


class Unauthorized(ProjectError):
    """The bearer token is missing or wrong."""

    status, slug, title = 401, "unauthorized", "Unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        """Ask for a bearer token (RFC 6750, section 3)."""
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(ProjectError):
    """Nobody may do this here."""

    status, slug, title = 403, "forbidden", "Forbidden"


class CacheUnavailable(ProjectError):
    """What is kept of results cannot be reached, so it cannot be cleared."""

    status, slug, title = 503, "cache-unavailable", "Cache unavailable"


class DatabaseUnavailable(ProjectError):
    """The database does not answer now, or its tables are not yet those of this release."""

    status, slug, title = 503, "database-unavailable", "Database unavailable"


class StorageUnavailable(ProjectError):
    """Files cannot be kept or read now; what was asked for may be asked again."""

    status, slug, title = 503, "storage-unavailable", "Storage unavailable"


class FileMissing(ProjectError):
    """The file was never there, or is no longer."""

    status, slug, title = 404, "file-missing", "File missing"


class BrokerUnavailable(ProjectError):
    """The queue does not answer."""

    status, slug, title = 503, "broker-unavailable", "Broker unavailable"


class JobNotFound(ProjectError):
    """There is no such job."""

    status, slug, title = 404, "job-not-found", "Job not found"


class JobConflict(ProjectError):
    """The job is not in a state that allows this."""

    status, slug, title = 409, "job-conflict", "Job conflict"


class JobTooLong(ProjectError):
    """The job took longer than a job may."""

    status, slug, title = 422, "job-too-long", "Job too long"


class Overloaded(ProjectError):
    """The model's queue is full; come back after `retry_after` seconds."""

    status, slug, title = 503, "overloaded", "Overloaded"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Say when to come back (RFC 9110, section 10.2.3)."""
        return {"Retry-After": str(self.retry_after)}


class ModelUnavailable(ProjectError):
    """The model's weights did not load, which does not pass by itself."""

    status, slug, title = 503, "model-unavailable", "Model unavailable"


class DeadlineExceeded(ProjectError):
    """The prediction took longer than it may."""

    status, slug, title = 504, "deadline-exceeded", "Deadline exceeded"


class ModelFailed(ProjectError):
    """The model raised on an input that passed every check; `about` tells the log of both."""

    slug, title = "model-failed", "Model failed"

    def __init__(self, detail: str, *, about: dict[str, object] | None = None) -> None:
        super().__init__(detail)
        self.about = about or {}
