"""The records of a job, as immutable values, and the format of its id."""

import re
import secrets
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Status = Literal["accepted", "running", "succeeded", "failed", "cancelled"]
Priority = Literal["interactive", "batch"]
ID_PATTERN = "^[0-9a-f]{32}$"
_ID = re.compile(ID_PATTERN)


class StoredFile(TypedDict):
    """A file in the storage. size: bytes."""

    key: str
    media_type: str
    size: int


class Input(StoredFile):
    """An input image of a job, under the name that the model has for it."""

    name: str


@dataclass(frozen=True)
class NewJob:
    """A job to be added. fingerprint: SHA-256 of the whole request."""

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
    user_id: str | None = None
    priority: Priority | None = None
    quota_month: str | None = None


@dataclass(frozen=True)
class Job:
    """A job's row. Times are seconds since 1970.

    revision: one more at every change. progress: the fraction done, 0 to 1. sent_at: when a message
    for it was last sent. lease_owner: the id of the attempt that holds the lease. lease_until: when
    it lapses. retry_at: earliest time of the next attempt. problem: the problem document of its
    failure, or of its last attempt's. seconds: stage → seconds. user_id: None of a job that was
    submitted without accounts; only administrators see it. quota_month: as 2026-11, while one
    prediction of the user's quota is reserved for it.
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
    user_id: str | None
    priority: Priority | None
    quota_month: str | None


@dataclass(frozen=True)
class Claim:
    """A claimed job. is_first: whether no worker had claimed it before."""

    job: Job
    is_first: bool


@dataclass(frozen=True)
class Renewal:
    """A renewed lease. cancel_requested: whether the attempt has to stop."""

    cancel_requested: bool


def is_id(text: str) -> bool:
    """Whether a text may be an id; what clients send may be anything."""
    return bool(_ID.fullmatch(text))


def new_id(now: float) -> str:
    """An id that sorts by creation time: 12 hex digits of milliseconds, then 20 random ones."""
    return f"{int(now * 1000):012x}{secrets.token_hex(10)}"
