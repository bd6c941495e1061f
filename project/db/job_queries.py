"""What is asked of the jobs in the database: one job, pages of them, and those that want something.

Times are given by the caller, in seconds since 1970. Every method raises DatabaseUnavailable.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Executable, Row, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from project.db.engine import by_statement, translating
from project.db.records import STATUSES, Job, Status
from project.db.tables import ACTIVE, FILES_LEFT, JobRow

Rows = Sequence[Row[*tuple[Any, ...]]]


class JobQueries:
    """Reads jobs. engine: of a database that project/db/migrate.py has seen to."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = by_statement(engine)

    async def check(self) -> None:
        """Read a row, if there is one, to see that the database answers and has every column."""
        await self._rows(select(JobRow).limit(1))

    async def get(self, job_id: str) -> Job | None:
        """The job of that id."""
        return one_job(await self._rows(select(JobRow).where(JobRow.id == job_id)))

    async def get_many(self, job_ids: Sequence[str]) -> list[Job]:
        """Those of these jobs that there are; at most some thousands at a time."""
        rows = await self._rows(select(JobRow).where(JobRow.id.in_(job_ids)))
        return [Job(**row._asdict()) for row in rows]

    async def with_key(self, idempotency_key: str) -> Job | None:
        """The job that was asked for with that key."""
        return one_job(
            await self._rows(select(JobRow).where(JobRow.idempotency_key == idempotency_key))
        )

    async def page(
        self,
        limit: int,
        before: str | None = None,
        model: str | None = None,
        status: Status | None = None,
    ) -> list[Job]:
        """The newest jobs, or those that are older than the one with the id `before`."""
        statement = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(JobRow.id < before)
        if model is not None:
            statement = statement.where(JobRow.model == model)
        if status is not None:
            statement = statement.where(JobRow.status == status)
        return [Job(**row._asdict()) for row in await self._rows(statement)]

    async def due(
        self, now: float, limit: int, *, grace: float = 0.0, patience: float = 0.0
    ) -> list[Job]:
        """Jobs that wait and had no message, or whose worker fell silent; the oldest first.

        grace: seconds that who keeps a job has to send it. patience: that a message has to have a
        silent worker's job taken, before it is sent again.
        """
        could = func.coalesce(JobRow.retry_at, JobRow.created_at) <= now - grace
        unsent = and_(JobRow.status == "accepted", JobRow.sent_at.is_(None), could)
        silent = and_(JobRow.status == "running", JobRow.lease_until <= now)
        late = no_later(JobRow.sent_at, now - patience)
        unaided = or_(late, JobRow.sent_at < JobRow.lease_until)
        return await self._oldest(or_(unsent, and_(silent, unaided)), limit)

    async def long_sent(self, before: float, limit: int) -> list[Job]:
        """Jobs that wait though a message was sent before then, the oldest first."""
        waits = and_(JobRow.status == "accepted", no_later(JobRow.retry_at, before))
        return await self._oldest(and_(waits, JobRow.sent_at <= before), limit)

    async def _oldest(self, where: ColumnElement[bool], limit: int) -> list[Job]:
        statement = select(JobRow).where(ACTIVE, where).order_by(JobRow.id).limit(limit)
        return [Job(**row._asdict()) for row in await self._rows(statement)]

    async def waiting(self) -> int:
        """How many jobs wait for a worker."""
        statement = select(func.count()).where(ACTIVE, JobRow.status == "accepted")
        return int((await self._rows(statement))[0][0])

    async def ended_with_files(self, before: float, limit: int) -> list[Job]:
        """Jobs that ended before then and whose files are not deleted, the oldest first."""
        statement = select(JobRow).where(FILES_LEFT, JobRow.finished_at < before)
        rows = await self._rows(statement.order_by(JobRow.finished_at).limit(limit))
        return [Job(**row._asdict()) for row in rows]

    async def counts(self) -> dict[Status, int]:
        """How many jobs there are of every status."""
        rows = await self._rows(select(JobRow.status, func.count()).group_by(JobRow.status))
        return dict.fromkeys(STATUSES, 0) | {row[0]: row[1] for row in rows}

    async def oldest_accepted_at(self) -> float | None:
        """Since when the job that waits longest could run; ahead of now if all are to wait."""
        since = func.min(func.coalesce(JobRow.retry_at, JobRow.created_at))
        (row,) = await self._rows(select(since).where(ACTIVE, JobRow.status == "accepted"))
        return None if row[0] is None else float(row[0])

    async def _rows(self, statement: Executable) -> Rows:
        """Run one statement, whose effect is there for all when this returns."""
        with translating():
            async with self._engine.connect() as connection:
                return (await connection.execute(statement)).all()


def no_later(column: Any, now: float) -> ColumnElement[bool]:
    """Whether a time is not set, or has come."""
    return or_(column.is_(None), column <= now)


def one_job(rows: Rows) -> Job | None:
    """The job of the row, if there is one."""
    return Job(**rows[0]._asdict()) if rows else None
