"""The tables of this release; project/db/migrations/ brings a database to them."""

from typing import Any, ClassVar, Literal

from sqlalchemy import JSON, Double, ForeignKey, Index, MetaData, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from project.db.records import Input, Priority, Status, StoredFile

# Jobs that have not ended: few among many that have. It is text, because a partial index serves
# only queries that contain the same expression.
ACTIVE = text("status IN ('accepted', 'running')")
BEING_DELETED = 0.0  # value of files_deleted_at while a job's files are being deleted
FILES_LEFT = text("(files_deleted_at IS NULL OR files_deleted_at = 0)")
CHARGED = text("quota_month IS NOT NULL")  # jobs whose prediction is reserved, and not counted yet

Role = Literal["user", "admin"]
Purpose = Literal["invitation", "reset"]

_OBJECT = JSON(none_as_null=True)


def _of_user() -> ForeignKey:
    """Deletes the row with its user."""
    return ForeignKey("users.id", ondelete="CASCADE")


class Base(DeclarativeBase):
    """Base of all tables. Times are seconds since 1970."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Double()}


class JobRow(Base):
    """A job; project/db/records.py documents the columns."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    model_version: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(_OBJECT)
    inputs: Mapped[list[Input]] = mapped_column(_OBJECT)
    status: Mapped[Status] = mapped_column(String)
    revision: Mapped[int]
    progress: Mapped[float]
    attempts: Mapped[int]
    created_at: Mapped[float]
    sent_at: Mapped[float | None]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    lease_owner: Mapped[str | None]
    lease_until: Mapped[float | None]
    retry_at: Mapped[float | None]
    cancel_requested: Mapped[bool]
    result: Mapped[StoredFile | None] = mapped_column(_OBJECT)
    problem: Mapped[dict[str, Any] | None] = mapped_column(_OBJECT)
    seconds: Mapped[dict[str, float]] = mapped_column(_OBJECT)
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    fingerprint: Mapped[str]
    request_id: Mapped[str | None]
    traceparent: Mapped[str | None]
    files_deleted_at: Mapped[float | None]
    user_id: Mapped[str | None]  # no foreign key: a job outlives its user
    priority: Mapped[Priority | None] = mapped_column(String)
    quota_month: Mapped[str | None]

    __table_args__ = (
        Index("ix_jobs_active", "id", postgresql_where=ACTIVE, sqlite_where=ACTIVE),
        Index("ix_jobs_files", "finished_at", postgresql_where=FILES_LEFT, sqlite_where=FILES_LEFT),
        Index("ix_jobs_status", "status", "id"),
        Index("ix_jobs_model", "model", "id"),
        Index("ix_jobs_model_status", "model", "status", "id"),
        # Concurrently: after the migration, by project/db/migrate.py, while jobs are written.
        Index("ix_jobs_user", "user_id", "id", postgresql_concurrently=True),
        Index(
            "ix_jobs_charged",
            "id",
            postgresql_where=CHARGED,
            sqlite_where=CHARGED,
            postgresql_concurrently=True,
        ),
    )


class UserRow(Base):
    """A user; project/db/users.py documents the columns."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    username: Mapped[str] = mapped_column(unique=True)
    full_name: Mapped[str]
    password_hash: Mapped[str | None]
    role: Mapped[Role] = mapped_column(String)
    active: Mapped[bool]
    document: Mapped[str | None]
    document_digest: Mapped[str | None] = mapped_column(unique=True)
    monthly_quota: Mapped[int | None]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    signed_out_at: Mapped[float | None]
    created_at: Mapped[float]

    __table_args__ = (UniqueConstraint("issuer", "subject"),)


class ApiKeyRow(Base):
    """An API key, of which the database has only the SHA-256."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(_of_user(), index=True)
    name: Mapped[str]
    digest: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(_OBJECT)
    priority: Mapped[Priority] = mapped_column(String)
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    last_used_at: Mapped[float | None]


class RefreshTokenRow(Base):
    """A refresh token. family: the tokens that followed from one sign-in."""

    __tablename__ = "refresh_tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    family: Mapped[str] = mapped_column(index=True)
    user_id: Mapped[str] = mapped_column(_of_user(), index=True)
    digest: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[float]
    expires_at: Mapped[float]
    used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class OneTimeTokenRow(Base):
    """A token that works once: an invitation, or a link to set a new password."""

    __tablename__ = "one_time_tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[Purpose] = mapped_column(String)
    user_id: Mapped[str | None] = mapped_column(_of_user(), index=True)
    email: Mapped[str | None]
    digest: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[float]
    used_at: Mapped[float | None]


class UsageRow(Base):
    """The predictions of a user in a month. month: as 2026-11, in UTC.

    reserved: those that were made, and those that processes and jobs hold. used: those that were
    made.
    """

    __tablename__ = "usage"

    user_id: Mapped[str] = mapped_column(_of_user(), primary_key=True)
    month: Mapped[str] = mapped_column(primary_key=True)
    reserved: Mapped[int]
    used: Mapped[int]
