"""What the database says of a job, as values that cannot change."""

import secrets
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

Status = Literal["accepted", "running", "succeeded", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)


class StoredFile(TypedDict):
    """A file in the storage. size: bytes."""

    key: str
    media_type: str
    size: int


class Input(StoredFile):
    """A file that a job takes, under the name that the model has for it."""

    name: str


@dataclass(frozen=True)
class NewJob:
    """A job as it is asked for. fingerprint: SHA-256 of all that the caller asked."""

    id: str
    model: str
    model_version: str
    params: dict[str, Any]
    inputs: list[Input]
    created_at: float
    fingerprint: str
    idempotency_key: str | None = None
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class Job:
    """A job's row. Times are seconds since 1970.

    revision: one more at every change. progress: the share done, 0 to 1. sent_at: when a message
    for it was last sent. lease_until: its worker has it until then. retry_at: it is not to run
    before. problem: why it failed, or why its last run did. seconds: stage → what it took.
    """

    id: str
    model: str
    model_version: str
    params: dict[str, Any]
    inputs: list[Input]
    status: Status
    revision: int
    progress: float
    attempts: int
    created_at: float
    sent_at: float | None
    started_at: float | None
    finished_at: float | None
    lease_owner: str | None
    lease_until: float | None
    retry_at: float | None
    cancel_requested: bool
    result: StoredFile | None
    problem: dict[str, Any] | None
    seconds: dict[str, float]
    idempotency_key: str | None
    fingerprint: str
    request_id: str | None
    traceparent: str | None
    files_deleted_at: float | None


@dataclass(frozen=True)
class Renewal:
    """What who renews a lease must know. cancel_requested: nobody wants the result any more."""

    cancel_requested: bool


def new_id(now: float) -> str:
    """An id that sorts by the time of creation: 12 hex digits of milliseconds and 20 by chance."""
    return f"{int(now * 1000):012x}{secrets.token_hex(10)}"
