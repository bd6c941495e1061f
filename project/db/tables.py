"""The tables of this release; project/db/migrations/ brings a database to them."""

from typing import Any, ClassVar

from sqlalchemy import JSON, Double, Index, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from project.db.records import Input, Status, StoredFile

# Jobs that have not ended: few among many that have. It is text, because a partial index serves
# only queries that contain the same expression.
ACTIVE = text("status IN ('accepted', 'running')")
BEING_DELETED = 0.0  # value of files_deleted_at while a job's files are being deleted
FILES_LEFT = text("(files_deleted_at IS NULL OR files_deleted_at = 0)")

_OBJECT = JSON(none_as_null=True)


class Base(DeclarativeBase):
    """Base of all tables. Times are seconds since 1970."""

    metadata = MetaData(
        naming_convention={
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

    __table_args__ = (
        Index("ix_jobs_active", "id", postgresql_where=ACTIVE, sqlite_where=ACTIVE),
        Index("ix_jobs_files", "finished_at", postgresql_where=FILES_LEFT, sqlite_where=FILES_LEFT),
        Index("ix_jobs_status", "status", "id"),
        Index("ix_jobs_model", "model", "id"),
        Index("ix_jobs_model_status", "model", "status", "id"),
    )
