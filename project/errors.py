"""The errors that a client can cause or meet, each with its HTTP status and advice.

ProjectError 500
├── ConfigurationError          the process cannot start with these settings
├── BackendUnavailable          a faster backend cannot serve a net; torch does
├── InvalidInput 422            the input cannot be used
│   ├── InvalidImage 422
│   └── IdempotencyConflict 422 the key belongs to another request; in db/job_transitions.py
├── ContentTooLarge 413
│   └── FileTooLarge 413        a stored file does not fit into a JSON response
├── NotAcceptable 406           the route answers with none of the types in Accept
├── UnsupportedMediaType 415
├── RunsInBackground 400        the model is served as jobs alone
├── SlowUpload 408
├── StreamIdle 408              a live stream brings no frames
├── ClientDisconnected 499      the client disconnected
├── Unauthorized 401            no valid token or key
├── Forbidden 403               the caller lacks the right
├── RateLimited 429             the caller or its address sends too much at present
│   └── QuotaExceeded 429       the caller's predictions of this month are used up
├── LimitsUnavailable 503       the store of the rates does not answer, with LIMITS_FAIL=closed
├── UserNotFound 404
├── KeyNotFound 404
├── AccountConflict 409         the account's state does not allow this
├── ProviderUnavailable 503     the OpenID Connect provider has not answered yet
├── CacheUnavailable 503        cached results cannot be cleared now
├── DatabaseUnavailable 503     jobs, users and keys cannot be stored or read now
│   └── ChangeUnconfirmed 503   usage may be written all the same; in db/usage.py
├── StorageUnavailable 503      files cannot be stored or read now
├── FileMissing 404             the file does not exist, or no longer
├── BrokerUnavailable 503       the job queue does not answer
├── JobNotFound 404
├── JobConflict 409             the job's state does not allow this
├── JobTooLong 422              the job exceeded its time limit
├── WorkersDied 500             every attempt ended with its worker; in jobs/execution.py
├── Overloaded 503              a limit is reached: of predictions, uploads, jobs or streams
├── ModelUnavailable 503        the model is not loaded, or it hangs
├── DeadlineExceeded 504
└── ModelFailed 500             the model raised on a valid input
"""

from typing import ClassVar


class ProjectError(Exception):
    """Base: `detail` says what to do; `status`, `slug` and `title` are in the problem document."""

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
    """The `type` of one of our problem documents: a URN, as RFC 9457 allows."""
    return f"urn:vitrine:problem:{slug}"


class ConfigurationError(ProjectError):
    """The process cannot start with these settings."""


class BackendUnavailable(ProjectError):
    """A faster backend is not installed, failed, or disagrees with torch."""


class InvalidInput(ProjectError):
    """The input cannot be used; `fields` maps a parameter's name to its fault."""

    status, slug, title = 422, "invalid-input", "Invalid input"


class InvalidImage(InvalidInput):
    """The bytes are not an image of a supported format, or the image exceeds the limits."""

    slug, title = "invalid-image", "Invalid image"


class ContentTooLarge(ProjectError):
    """The request body exceeds the limit."""

    status, slug, title = 413, "content-too-large", "Content too large"

    @property
    def headers(self) -> dict[str, str]:
        """The connection closes after the rest of the body is discarded."""
        return {"Connection": "close"}


class FileTooLarge(ContentTooLarge):
    """A stored file exceeds the limit of a response that contains it."""

    @property
    def headers(self) -> dict[str, str]:
        """None: the request is complete, so its connection stays."""
        return {}


class NotAcceptable(ProjectError):
    """The route cannot answer with any type that Accept names."""

    status, slug, title = 406, "not-acceptable", "Not acceptable"


class RunsInBackground(ProjectError):
    """The model takes longer than a client should wait."""

    status, slug, title = 400, "runs-in-background", "Runs in background"


class UnsupportedMediaType(ProjectError):
    """The route does not accept the body's Content-Type."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class SlowUpload(ProjectError):
    """The body did not arrive within its time limit."""

    status, slug, title = 408, "slow-upload", "Slow upload"

    @property
    def headers(self) -> dict[str, str]:
        """Closes the connection: the rest of the body is not read."""
        return {"Connection": "close"}


class StreamIdle(ProjectError):
    """A live stream brought no frame for too long."""

    status, slug, title = 408, "stream-idle", "Stream idle"


class ClientDisconnected(ProjectError):
    """The client disconnected; nginx's status 499 is for metrics and the log alone."""

    status, slug, title = 499, "caller-gone", "Caller gone"


class Unauthorized(ProjectError):
    """The bearer token is missing or wrong. invalid: one was sent, and it is not accepted."""

    status, slug, title = 401, "unauthorized", "Unauthorized"

    def __init__(self, detail: str, *, invalid: bool = False) -> None:
        super().__init__(detail)
        self.invalid = invalid

    @property
    def headers(self) -> dict[str, str]:
        """Asks for a bearer token (RFC 6750, section 3)."""
        error = ' error="invalid_token"' if self.invalid else ""
        return {"WWW-Authenticate": f"Bearer{error}"}


class Forbidden(ProjectError):
    """The operation is not allowed."""

    status, slug, title = 403, "forbidden", "Forbidden"


class RateLimited(ProjectError):
    """A limit of the caller or of its address is reached; retry after `retry_after` seconds.

    limits: header fields that describe it.
    """

    status, slug, title = 429, "rate-limited", "Rate limited"

    def __init__(
        self, detail: str, *, retry_after: int, limits: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self._limits = limits or {}

    @property
    def headers(self) -> dict[str, str]:
        """When to retry (RFC 9110, section 10.2.3), and the limit that is reached."""
        return {"Retry-After": str(self.retry_after), **self._limits}


class QuotaExceeded(RateLimited):
    """The predictions of this month are used up."""

    slug, title = "quota-exceeded", "Quota exceeded"


class LimitsUnavailable(ProjectError):
    """The store of the rates does not answer, and then nothing may pass."""

    status, slug, title = 503, "limits-unavailable", "Limits unavailable"

    @property
    def headers(self) -> dict[str, str]:
        """When to retry (RFC 9110, section 10.2.3)."""
        return {"Retry-After": "1"}


class UserNotFound(ProjectError):
    """There is no such user."""

    status, slug, title = 404, "user-not-found", "User not found"


class KeyNotFound(ProjectError):
    """The user has no such API key."""

    status, slug, title = 404, "key-not-found", "Key not found"


class AccountConflict(ProjectError):
    """The account's state does not allow this, or its name is taken."""

    status, slug, title = 409, "account-conflict", "Account conflict"


class ProviderUnavailable(ProjectError):
    """The OpenID Connect provider has not answered yet, so its tokens cannot be verified."""

    status, slug, title = 503, "provider-unavailable", "Provider unavailable"


class CacheUnavailable(ProjectError):
    """The result cache cannot be reached, so it cannot be cleared."""

    status, slug, title = 503, "cache-unavailable", "Cache unavailable"


class DatabaseUnavailable(ProjectError):
    """The database does not answer, or its schema is not yet that of this release."""

    status, slug, title = 503, "database-unavailable", "Database unavailable"

    @property
    def headers(self) -> dict[str, str]:
        """When to retry (RFC 9110, section 10.2.3)."""
        return {"Retry-After": "5"}


class StorageUnavailable(ProjectError):
    """Files cannot be stored or read now; the operation can be retried."""

    status, slug, title = 503, "storage-unavailable", "Storage unavailable"


class FileMissing(ProjectError):
    """The file does not exist, or no longer."""

    status, slug, title = 404, "file-missing", "File missing"


class BrokerUnavailable(ProjectError):
    """The job queue does not answer."""

    status, slug, title = 503, "broker-unavailable", "Broker unavailable"


class JobNotFound(ProjectError):
    """There is no such job."""

    status, slug, title = 404, "job-not-found", "Job not found"


class JobConflict(ProjectError):
    """The job's state does not allow this."""

    status, slug, title = 409, "job-conflict", "Job conflict"


class JobTooLong(ProjectError):
    """The job exceeded its time limit."""

    status, slug, title = 422, "job-too-long", "Job too long"


class Overloaded(ProjectError):
    """A limit is reached; retry after `retry_after` seconds."""

    status, slug, title = 503, "overloaded", "Overloaded"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """When to retry (RFC 9110, section 10.2.3)."""
        return {"Retry-After": str(self.retry_after)}


class ModelUnavailable(ProjectError):
    """Not loaded, or it hangs; a later attempt or another worker may serve."""

    status, slug, title = 503, "model-unavailable", "Model unavailable"


class DeadlineExceeded(ProjectError):
    """The prediction exceeded its deadline."""

    status, slug, title = 504, "deadline-exceeded", "Deadline exceeded"


class ModelFailed(ProjectError):
    """The model raised on an input that passed every check; `about` has log fields on both."""

    slug, title = "model-failed", "Model failed"

    def __init__(self, detail: str, *, about: dict[str, object] | None = None) -> None:
        super().__init__(detail)
        self.about = about or {}
