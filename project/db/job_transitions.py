"""Changes jobs by compare-and-set statements, so that any process may attempt a transition.

The WHERE clause holds the condition of a change, and the row comes back only where it was met. The
caller passes the times, in seconds since 1970. Every method raises DatabaseUnavailable.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    TextClause,
    and_,
    case,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from project.db.engine import StatementRunner, translating
from project.db.job_queries import job_of, none_or_past
from project.db.records import Claim, Job, NewJob, Renewal, Status, StoredFile
from project.db.tables import ACTIVE, BEING_DELETED, FILES_LEFT, JobRow, UserRow
from project.errors import InvalidInput

Where = Sequence[ColumnElement[bool] | TextClause]

_NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_until": None}


class IdempotencyConflict(InvalidInput):
    """The Idempotency-Key belongs to another request."""

    slug, title = "idempotency-conflict", "Idempotency conflict"


def check_same_request(job: Job, fingerprint: str) -> None:
    """Raise IdempotencyConflict where the job with the key was another request."""
    if job.fingerprint != fingerprint:
        raise IdempotencyConflict(
            "this Idempotency-Key was used for another request: send another key, "
            "or exactly what was sent with it before"
        )


class JobTransitions:
    """Adds jobs and changes them. engine: of a database that project/db/migrate.py has upgraded."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._statements = StatementRunner(engine)

    async def add(self, new: NewJob) -> tuple[Job, bool]:
        """Add a job, or find the one that has its idempotency key.

        Returns the job and whether it is new. Raises IdempotencyConflict where the key belongs to
        a job with another fingerprint.
        """
        values = vars(new) | {
            "status": "accepted",
            "revision": 1,
            "progress": 0.0,
            "attempts": 0,
            "cancel_requested": False,
            "seconds": {},
        }
        (row,) = await self._statements.rows(self._insert(values))
        job = Job(**row._asdict())
        check_same_request(job, new.fingerprint)
        return job, job.id == new.id

    def _insert(self, values: dict[str, Any]) -> Executable:
        """A conflict on the key updates its row to the same value, so that the row is returned."""
        same = {"idempotency_key": values["idempotency_key"]}
        key = [JobRow.idempotency_key]
        if self._statements.is_sqlite:
            lite = sqlite.insert(JobRow).values(values)
            return lite.on_conflict_do_update(index_elements=key, set_=same).returning(JobRow)
        statement = postgresql.insert(JobRow).values(values)
        return statement.on_conflict_do_update(index_elements=key, set_=same).returning(JobRow)

    async def mark_sent(self, job_id: str, now: float) -> None:
        """Note that a message for the job was sent."""
        await self._change([JobRow.id == job_id, ACTIVE], sent_at=now)

    async def mark_unsent(self, job_id: str) -> None:
        """Note that no message for a job that waits was sent after all."""
        await self._change([JobRow.id == job_id, JobRow.status == "accepted"], sent_at=None)

    async def take_unsent(self, user_id: str, now: float, limit: int) -> list[Job]:
        """Mark a user's oldest jobs as sent, for the caller to send them; returns those.

        Those of batches come after all others. limit: of the user's jobs that have a message,
        waiting or running. One process at a time takes a user's jobs, so that there are never more.
        """
        active: Where = [JobRow.user_id == user_id, ACTIVE]
        sent = select(func.count()).where(*active, JobRow.sent_at.is_not(None)).scalar_subquery()
        room = case((sent < limit, limit - sent), else_=0)  # a negative limit means none in SQLite
        waits = [JobRow.status == "accepted", JobRow.sent_at.is_(None)]
        runnable = none_or_past(JobRow.retry_at, now)
        next_ids = select(JobRow.id).where(*active, *waits, runnable)
        is_batch = case((JobRow.priority == "batch", 1), else_=0)
        next_ids = next_ids.order_by(is_batch, JobRow.id)
        taking = update(JobRow).where(JobRow.id.in_(next_ids.limit(room)), *waits)
        taking = taking.values(sent_at=now, revision=JobRow.revision + 1).returning(JobRow)
        user = select(UserRow.id).where(UserRow.id == user_id)
        with translating():
            async with self._engine.begin() as connection:
                if not self._statements.is_sqlite:  # whose transaction locks the whole database
                    await connection.execute(user.with_for_update(key_share=True))
                rows = (await connection.execute(taking)).all()
        jobs = (Job(**row._asdict()) for row in rows)
        return sorted(jobs, key=lambda job: (job.priority == "batch", job.id))

    async def claim(
        self, job_id: str, owner: str, now: float, lease_seconds: float
    ) -> Claim | None:
        """Claim a job that waits or whose lease has lapsed; None for every other.

        owner: the id of this attempt, so that an earlier one of the same worker cannot pass for it.
        The same owner may claim twice, because the first answer may be lost. A job whose
        cancellation is requested can be claimed: its `cancel_requested` says so.

        Two statements, of which at most one changes the row: which of them did tells a first
        attempt from a later one.
        """
        waits = and_(JobRow.status == "accepted", none_or_past(JobRow.retry_at, now))
        lapsed = and_(JobRow.status == "running", JobRow.lease_until <= now)
        ours = and_(JobRow.status == "running", JobRow.lease_owner == owner)
        values = {
            "status": "running",
            "progress": 0.0,
            "lease_owner": owner,
            "lease_until": now + lease_seconds,
            "retry_at": None,
        }
        first = await self._change(
            [JobRow.id == job_id, waits, JobRow.started_at.is_(None)],
            **values,
            attempts=JobRow.attempts + 1,
            started_at=now,
        )
        if first is not None:
            return Claim(first, is_first=True)
        again = await self._change(
            [JobRow.id == job_id, or_(waits, lapsed, ours), JobRow.started_at.is_not(None)],
            **values,
            attempts=JobRow.attempts + case((ours, 0), else_=1),
        )
        return None if again is None else Claim(again, is_first=False)

    async def renew(
        self, job_id: str, owner: str, now: float, lease_seconds: float, progress: float
    ) -> Renewal | None:
        """Extend a lease and store the progress; None where the lease is lost."""
        until = now + lease_seconds
        job = await self._change(_held(job_id, owner), lease_until=until, progress=progress)
        return Renewal(cancel_requested=job.cancel_requested) if job else None

    async def succeed(
        self, job_id: str, owner: str, now: float, result: StoredFile, seconds: dict[str, float]
    ) -> bool:
        """End a job with its result; False where the lease is lost."""
        values = {"result": result, "seconds": seconds, "progress": 1.0, "problem": None}
        return await self._end(job_id, owner, now, "succeeded", **values)

    async def fail(self, job_id: str, owner: str, now: float, problem: dict[str, Any]) -> bool:
        """End a job without a result; False where the lease is lost."""
        return await self._end(job_id, owner, now, "failed", problem=problem)

    async def finish_cancelled(self, job_id: str, owner: str, now: float) -> bool:
        """End a job whose cancellation is requested; False where the lease is lost."""
        return await self._end(job_id, owner, now, "cancelled")

    async def release(
        self,
        job_id: str,
        owner: str,
        now: float,
        retry_at: float,
        problem: dict[str, Any] | None = None,
        *,
        counted: bool = True,
    ) -> Job | None:
        """Release a job for an attempt from `retry_at` on; None where the lease is lost.

        counted: whether this attempt counts against JOB_ATTEMPTS. A job whose cancellation is
        requested is cancelled instead.
        """
        cancelled = JobRow.cancel_requested
        return await self._change(
            _held(job_id, owner),
            status=case((cancelled, "cancelled"), else_="accepted"),
            finished_at=case((cancelled, literal(now)), else_=null()),
            retry_at=case((cancelled, null()), else_=literal(retry_at)),
            attempts=JobRow.attempts - (0 if counted else 1),
            progress=0.0,
            sent_at=None,
            problem=problem,
            **_NO_LEASE,
        )

    async def cancel(self, job_id: str, now: float) -> Job | None:
        """Cancel a job that waits or whose lease has lapsed; request it of a worker that runs it.

        Returns the job where this call changed it, so one whose status is `cancelled` was cancelled
        by this call; None for a job that has ended, was requested before, or does not exist.
        """
        where, values = _cancelling(now)
        return await self._change([JobRow.id == job_id, where], **values)

    async def cancel_of_user(self, user_id: str, now: float) -> list[str]:
        """Cancel all jobs of a user as `cancel` does; returns the model of each that waited."""
        where, values = _cancelling(now)
        changes = update(JobRow).where(JobRow.user_id == user_id, ACTIVE, where)
        changes = changes.values(**values, revision=JobRow.revision + 1)
        rows = await self._statements.rows(changes.returning(JobRow.model, JobRow.status))
        return [row.model for row in rows if row.status == "cancelled"]

    async def cancel_lapsed(self, now: float) -> list[str]:
        """Cancel requested jobs whose lease has lapsed; returns the model of each."""
        lapsed = [JobRow.status == "running", JobRow.lease_until <= now, JobRow.cancel_requested]
        changes = update(JobRow).where(ACTIVE, *lapsed)
        changes = changes.values(
            status="cancelled", finished_at=now, revision=JobRow.revision + 1, **_NO_LEASE
        )
        return [row.model for row in await self._statements.rows(changes.returning(JobRow.model))]

    async def retry(self, job_id: str, now: float, quota_month: str | None = None) -> Job | None:
        """Reset a failed job, to be run again; None where it did not fail or has no files.

        quota_month: in which a prediction is reserved for it; then it must not have one already,
        see Usage.settle_job. None: no other is, and one that is not settled stays its.
        """
        failed: Where = [
            JobRow.id == job_id,
            JobRow.status == "failed",
            JobRow.files_deleted_at.is_(None),
        ]
        charge = {"quota_month": quota_month} if quota_month else {}
        return await self._change(
            [*failed, JobRow.quota_month.is_(None)] if charge else failed,
            status="accepted",
            progress=0.0,
            attempts=0,
            sent_at=None,
            finished_at=None,
            retry_at=now,
            cancel_requested=False,
            problem=None,
            lease_owner=None,
            **charge,
        )

    async def begin_file_deletion(self, job_id: str, before: float) -> bool:
        """Note that a job's files are about to be deleted; it cannot be retried after that.

        before: the time before which it must have ended. False where it was retried meanwhile.
        """
        ended = JobRow.finished_at < before
        where: Where = [JobRow.id == job_id, FILES_LEFT, ended]
        return bool(await self._change(where, files_deleted_at=BEING_DELETED))

    async def mark_files_deleted(self, job_id: str, now: float) -> None:
        """Note that a job's files are deleted."""
        where: Where = [JobRow.id == job_id, FILES_LEFT, JobRow.finished_at.is_not(None)]
        await self._change(where, files_deleted_at=now)

    async def _end(
        self, job_id: str, owner: str, now: float, status: Status, **values: object
    ) -> bool:
        held = _held(job_id, owner)  # the owner stays, to recognize a change whose answer was lost
        ended = {"status": status, "finished_at": now, "lease_until": None}
        return bool(await self._change(held, **ended, **values))

    async def _change(self, where: Where, **values: object) -> Job | None:
        """Change the row that meets every condition; None where none does."""
        values["revision"] = JobRow.revision + 1
        statement = update(JobRow).where(*where).values(values)
        return job_of(await self._statements.rows(statement.returning(JobRow)))


def _cancelling(now: float) -> tuple[ColumnElement[bool], dict[str, Any]]:
    """Which jobs a cancellation changes, and their new values."""
    lapsed = and_(JobRow.status == "running", JobRow.lease_until <= now)
    waits = or_(JobRow.status == "accepted", lapsed)
    runs = and_(JobRow.status == "running", not_(JobRow.cancel_requested))
    values = {
        "status": case((waits, "cancelled"), else_=JobRow.status),
        "finished_at": case((waits, literal(now)), else_=null()),
        "retry_at": None,
        "cancel_requested": True,
        "lease_owner": case((waits, null()), else_=JobRow.lease_owner),
        "lease_until": case((waits, null()), else_=JobRow.lease_until),
    }
    return or_(waits, runs), values


def _held(job_id: str, owner: str) -> list[ColumnElement[bool]]:
    return [JobRow.id == job_id, JobRow.status == "running", JobRow.lease_owner == owner]
