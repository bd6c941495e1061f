"""Reads jobs: one job, pages of them, and those that the workers must send again or clear away.

The caller passes the times, in seconds since 1970. Every method raises DatabaseUnavailable.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Executable, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from project.db.engine import Rows, StatementRunner
from project.db.records import Job, Status
from project.db.tables import ACTIVE, FILES_LEFT, JobRow


class JobQueries:
    """Reads jobs. engine: of a database that project/db/migrate.py has upgraded."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._statements = StatementRunner(engine)

    async def check(self) -> None:
        """Read at most one row, to see that the database answers and has every column."""
        await self._statements.rows(select(JobRow).limit(1))

    async def get(self, job_id: str) -> Job | None:
        """The job with this id."""
        return await self._one(select(JobRow).where(JobRow.id == job_id))

    async def get_many(self, job_ids: Sequence[str]) -> list[Job]:
        """The existing jobs among these; pass at most some thousand ids."""
        return await self._all(select(JobRow).where(JobRow.id.in_(job_ids)))

    async def get_by_key(self, idempotency_key: str) -> Job | None:
        """The job that was submitted with this key."""
        return await self._one(select(JobRow).where(JobRow.idempotency_key == idempotency_key))

    async def page(
        self,
        limit: int,
        before: str | None = None,
        model: str | None = None,
        status: Status | None = None,
        user_id: str | None = None,
    ) -> list[Job]:
        """The newest jobs, or those that are older than the job with the id `before`.

        user_id: whose jobs alone; None: those of all users, and of none.
        """
        statement = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(JobRow.id < before)
        if model is not None:
            statement = statement.where(JobRow.model == model)
        if user_id is not None:
            statement = statement.where(JobRow.user_id == user_id)
        if status is not None:
            statement = statement.where(JobRow.status == status)
        return await self._all(statement)

    async def due(
        self,
        now: float,
        limit: int,
        *,
        grace: float = 0.0,
        resend_after: float = 0.0,
        users_wait: bool = False,
    ) -> list[Job]:
        """Jobs that wait without a message, or whose lease has lapsed; the oldest first.

        grace: seconds from a job's creation until it counts as unsent. resend_after: seconds from
        the message for a lapsed job until it counts as lost. users_wait: whether the jobs of users
        wait without a message until there is room for them; see JobTransitions.take_unsent.
        """
        runnable = func.coalesce(JobRow.retry_at, JobRow.created_at) <= now - grace
        unsent = and_(JobRow.status == "accepted", JobRow.sent_at.is_(None), runnable)
        if users_wait:
            unsent = and_(unsent, JobRow.user_id.is_(None))
        lapsed = and_(JobRow.status == "running", JobRow.lease_until <= now)
        lost = none_or_past(JobRow.sent_at, now - resend_after)
        not_resent = or_(lost, JobRow.sent_at < JobRow.lease_until)
        return await self._oldest(or_(unsent, and_(lapsed, not_resent)), limit)

    async def waiting_since(self, sent_before: float, limit: int) -> list[Job]:
        """Jobs that wait although their message was sent before then, the oldest first."""
        waits = and_(JobRow.status == "accepted", none_or_past(JobRow.retry_at, sent_before))
        return await self._oldest(and_(waits, JobRow.sent_at <= sent_before), limit)

    async def users_with_unsent(self, now: float, limit: int) -> list[str]:
        """Users of whom a job waits without a message, although it may run."""
        unsent = [JobRow.status == "accepted", JobRow.sent_at.is_(None)]
        runnable = none_or_past(JobRow.retry_at, now)
        users = select(JobRow.user_id).where(ACTIVE, *unsent, runnable, JobRow.user_id.is_not(None))
        rows = await self._statements.rows(users.distinct().limit(limit))
        return [str(row.user_id) for row in rows]

    async def count_waiting(self) -> int:
        """The number of jobs that wait for a worker."""
        statement = select(func.count()).where(ACTIVE, JobRow.status == "accepted")
        return int((await self._statements.rows(statement))[0][0])

    async def ended_with_files(self, before: float, limit: int) -> list[Job]:
        """Jobs that ended before then and still have files, in the order of their ends."""
        statement = select(JobRow).where(FILES_LEFT, JobRow.finished_at < before)
        return await self._all(statement.order_by(JobRow.finished_at).limit(limit))

    async def _oldest(self, where: ColumnElement[bool], limit: int) -> list[Job]:
        return await self._all(select(JobRow).where(ACTIVE, where).order_by(JobRow.id).limit(limit))

    async def _one(self, statement: Executable) -> Job | None:
        return job_of(await self._statements.rows(statement))

    async def _all(self, statement: Executable) -> list[Job]:
        return [Job(**row._asdict()) for row in await self._statements.rows(statement)]


def none_or_past(column: Any, now: float) -> ColumnElement[bool]:
    """Whether a time is not set, or has come."""
    return or_(column.is_(None), column <= now)


def job_of(rows: Rows) -> Job | None:
    """The job of the only row, if there is one."""
    return Job(**rows[0]._asdict()) if rows else None
