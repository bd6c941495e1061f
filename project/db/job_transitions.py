"""The jobs in the database: every change is one statement, so any number of processes may make it.

What must hold for a change stands in its WHERE, and the row comes back only where it did. Times
are given by the caller, in seconds since 1970. Every method raises DatabaseUnavailable.
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
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from project.db.job_queries import JobQueries, no_later, one_job
from project.db.records import Input, Job, NewJob, Renewal, Status, StoredFile, new_id
from project.db.tables import ACTIVE, BEING_DELETED, FILES_LEFT, JobRow
from project.errors import InvalidInput

__all__ = [
    "IdempotencyConflict",
    "Input",
    "Job",
    "JobTransitions",
    "NewJob",
    "Renewal",
    "Status",
    "StoredFile",
    "new_id",
]

Where = Sequence[ColumnElement[bool] | TextClause]

_FREE: dict[str, Any] = {"lease_owner": None, "lease_until": None}  # of any worker


class IdempotencyConflict(InvalidInput):
    """The Idempotency-Key was used before, for something else."""

    slug, title = "idempotency-conflict", "Idempotency conflict"


def check_same(job: Job, fingerprint: str) -> None:
    """Raise IdempotencyConflict where a job that has the key was asked for otherwise."""
    if job.fingerprint != fingerprint:
        raise IdempotencyConflict(
            "this Idempotency-Key was used for another request: send another key, "
            "or exactly what was sent with it before"
        )


class JobTransitions(JobQueries):
    """Reads jobs and changes them."""

    async def add(self, new: NewJob) -> tuple[Job, bool]:
        """Keep a job; with an idempotency key that is known, find the job that has it instead.

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
        (row,) = await self._rows(self._insert(values))
        job = Job(**row._asdict())
        check_same(job, new.fingerprint)
        return job, job.id == new.id

    def _insert(self, values: dict[str, Any]) -> Executable:
        """Where the key is taken its row is written anew, unchanged: so it comes back as well."""
        same = {"idempotency_key": values["idempotency_key"]}
        key = [JobRow.idempotency_key]
        if self._engine.dialect.name == "sqlite":
            lite = sqlite.insert(JobRow).values(values)
            return lite.on_conflict_do_update(index_elements=key, set_=same).returning(JobRow)
        statement = postgresql.insert(JobRow).values(values)
        return statement.on_conflict_do_update(index_elements=key, set_=same).returning(JobRow)

    async def mark_sent(self, job_id: str, now: float) -> None:
        """Note that a message for the job was sent; it is `due` again if nobody takes it."""
        await self._change([JobRow.id == job_id, ACTIVE], sent_at=now)

    async def claim(self, job_id: str, owner: str, now: float, lease_seconds: float) -> Job | None:
        """Take a job that waits, or whose worker fell silent; None where it is not to be had.

        owner: of this one run, so that a former run of the same worker is a stranger to it. A job
        that is to be cancelled is given out too, as its `cancel_requested` says.
        """
        waiting = and_(JobRow.status == "accepted", no_later(JobRow.retry_at, now))
        lapsed = and_(JobRow.status == "running", JobRow.lease_until <= now)
        ours = and_(JobRow.status == "running", JobRow.lease_owner == owner)  # the answer was lost
        return await self._change(
            [JobRow.id == job_id, or_(waiting, lapsed, ours)],
            status="running",
            progress=0.0,
            attempts=JobRow.attempts + case((ours, 0), else_=1),
            started_at=func.coalesce(JobRow.started_at, now),
            lease_owner=owner,
            lease_until=now + lease_seconds,
            retry_at=None,
        )

    async def renew(
        self, job_id: str, owner: str, now: float, lease_seconds: float, progress: float
    ) -> Renewal | None:
        """Keep a job for longer; None where another has it by now, or it has ended."""
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

    async def cancelled(self, job_id: str, owner: str, now: float) -> bool:
        """End a job that nobody wants any more; False where the lease is lost."""
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
        """Give a job back, to be run again from then on; None where the lease is lost.

        counted: whether this run was one of the job's attempts. One that is to be cancelled will
        not be run again: it is cancelled.
        """
        unwanted = JobRow.cancel_requested
        return await self._change(
            _held(job_id, owner),
            status=case((unwanted, "cancelled"), else_="accepted"),
            finished_at=case((unwanted, literal(now)), else_=null()),
            retry_at=case((unwanted, null()), else_=literal(retry_at)),
            attempts=JobRow.attempts - (0 if counted else 1),
            progress=0.0,
            sent_at=None,
            problem=problem,
            **_FREE,
        )

    async def cancel(self, job_id: str, now: float) -> Job | None:
        """Cancel a job that waits at once, and have one that runs cancelled by its worker.

        Returns the job as it is then, unchanged if it had ended; None if there is none.
        """
        lapsed = and_(JobRow.status == "running", JobRow.lease_until <= now)
        waits = or_(JobRow.status == "accepted", lapsed)
        runs = and_(JobRow.status == "running", not_(JobRow.cancel_requested))
        changed = await self._change(
            [JobRow.id == job_id, or_(waits, runs)],
            status=case((waits, "cancelled"), else_=JobRow.status),
            finished_at=case((waits, literal(now)), else_=null()),
            retry_at=None,
            cancel_requested=True,
            lease_owner=case((waits, null()), else_=JobRow.lease_owner),
            lease_until=case((waits, null()), else_=JobRow.lease_until),
        )
        return changed or await self.get(job_id)

    async def cancel_lapsed(self, now: float) -> list[str]:
        """Cancel the jobs that were to be, and whose worker died before; returns their models."""
        lapsed = [JobRow.status == "running", JobRow.lease_until <= now, JobRow.cancel_requested]
        changes = update(JobRow).where(ACTIVE, *lapsed)
        changes = changes.values(
            status="cancelled", finished_at=now, revision=JobRow.revision + 1, **_FREE
        )
        return [row.model for row in await self._rows(changes.returning(JobRow.model))]

    async def retry(self, job_id: str, now: float) -> Job | None:
        """Have a failed job run again, as if it never had; None where that cannot be.

        It cannot where the job did not fail, or its inputs are deleted by now.
        """
        return await self._change(
            [JobRow.id == job_id, JobRow.status == "failed", JobRow.files_deleted_at.is_(None)],
            status="accepted",
            progress=0.0,
            attempts=0,
            sent_at=None,
            finished_at=None,
            retry_at=now,
            cancel_requested=False,
            problem=None,
            lease_owner=None,
        )

    async def begin_deleting(self, job_id: str, before: float) -> bool:
        """Note that a job's files are about to be deleted, unless it was retried meanwhile.

        It cannot be retried after that. before: when it must have ended.
        """
        ended = JobRow.finished_at < before
        where: Where = [JobRow.id == job_id, FILES_LEFT, ended]
        return bool(await self._change(where, files_deleted_at=BEING_DELETED))

    async def files_deleted(self, job_id: str, now: float) -> None:
        """Note that a job's files are gone."""
        where: Where = [JobRow.id == job_id, FILES_LEFT, JobRow.finished_at.is_not(None)]
        await self._change(where, files_deleted_at=now)

    async def _end(
        self, job_id: str, owner: str, now: float, status: Status, **values: object
    ) -> bool:
        held = _held(job_id, owner)  # whose it was stays: who lost the answer finds it was written
        ended = {"status": status, "finished_at": now, "lease_until": None}
        return bool(await self._change(held, **ended, **values))

    async def _change(self, where: Where, **values: object) -> Job | None:
        """Change the one row for which all this holds."""
        values["revision"] = JobRow.revision + 1
        statement = update(JobRow).where(*where).values(values)
        return one_job(await self._rows(statement.returning(JobRow)))


def _held(job_id: str, owner: str) -> list[ColumnElement[bool]]:
    return [JobRow.id == job_id, JobRow.status == "running", JobRow.lease_owner == owner]
