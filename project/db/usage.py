"""The predictions of users by month: reserves them within the quota, counts and gives them back.

The condition of the quota is in the statement that reserves, so that no two processes take the
same prediction. Months are those of UTC. Every method raises DatabaseUnavailable.
"""

import time
from calendar import timegm
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, String, bindparam, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from project.db.engine import StatementRunner, translating
from project.db.tables import CHARGED, JobRow, UsageRow, UserRow
from project.errors import DatabaseUnavailable

BLOCK_SHARE = 50  # a block of several predictions is at most this part of what is left

ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, order=True)
class UsageChange:
    """What a process tells of a user's month. used: made. returned: reserved, and not needed."""

    user_id: str
    month: str
    used: int
    returned: int


class ChangeUnconfirmed(DatabaseUnavailable):
    """The database did not answer a commit: the change may be written, or not."""


class Usage:
    """The table of usage. engine: of a database that project/db/migrate.py has upgraded."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._statements = StatementRunner(engine)
        self._reserve = _reserve(is_sqlite=self._statements.is_sqlite)

    async def reserve(self, user_id: str, month: str, count: int, quota: int) -> int | None:
        """Reserve predictions, if the user exists and the quota has them.

        One is reserved while one is left, more only if BLOCK_SHARE times as many are left. Returns
        the sum of all that are reserved then, or None.
        """
        needed = count if count == 1 else count * BLOCK_SHARE
        values = {"of": user_id, "in": month, "wanted": count, "last": quota - needed}
        try:
            rows = await self._statements.rows(self._reserve, values)
        except IntegrityError:  # the user was deleted in this moment
            return None
        return int(rows[0][0]) if rows else None

    async def change(self, changes: Sequence[UsageChange]) -> None:
        """Count what was made, and give back what is not needed, in one transaction.

        Raises ChangeUnconfirmed where that may have been written all the same.
        """
        values = [_parameters(change) for change in sorted(changes)]  # in one order: no deadlock
        with translating():
            async with self._engine.connect() as connection:
                await connection.execute(_CHANGE, values)
                try:
                    with translating():
                        await connection.commit()
                except DatabaseUnavailable as error:
                    raise ChangeUnconfirmed(error.detail) from error

    async def get(self, user_id: str, month: str) -> tuple[int, int]:
        """The predictions that are reserved, and those that were made."""
        where = UsageRow.user_id == user_id, UsageRow.month == month
        found = await self._statements.rows(select(UsageRow.reserved, UsageRow.used).where(*where))
        return (int(found[0][0]), int(found[0][1])) if found else (0, 0)

    async def settle_job(self, job_id: str) -> None:
        """Count the prediction that is reserved for a job if it succeeded, else give it back.

        No effect on a job that has not ended, or that is settled.
        """
        old = select(JobRow.user_id, JobRow.quota_month, JobRow.status).where(
            JobRow.id == job_id, CHARGED, JobRow.status.in_(ENDED)
        )
        clear = update(JobRow).where(JobRow.id == job_id).values(quota_month=None)
        with translating():
            async with self._engine.begin() as connection:
                found = (await connection.execute(old.with_for_update())).first()
                if found is None:
                    return
                await connection.execute(clear)
                succeeded = found.status == "succeeded"
                change = UsageChange(
                    found.user_id, found.quota_month, int(succeeded), int(not succeeded)
                )
                await connection.execute(_CHANGE, _parameters(change))

    async def unsettled_jobs(self, limit: int) -> list[str]:
        """Ids of jobs that have ended, and whose prediction is neither counted nor given back."""
        ended = select(JobRow.id).where(CHARGED, JobRow.status.in_(ENDED))
        return [row.id for row in await self._statements.rows(ended.limit(limit))]


def month_of(now: float) -> str:
    """The month of a time, as 2026-11. now: seconds since 1970."""
    return time.strftime("%Y-%m", time.gmtime(now))


def month_bounds(now: float) -> tuple[float, float]:
    """When the month of a time begins, and when the next one does; seconds since 1970."""
    year, month = time.gmtime(now)[:2]
    following = (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004 - December
    return timegm((year, month, 1, 0, 0, 0)), timegm((*following, 1, 0, 0, 0))


def _parameters(change: UsageChange) -> dict[str, object]:
    returned = change.returned
    return {"of": change.user_id, "in": change.month, "made": change.used, "returned": returned}


_CHANGE = (
    update(UsageRow)
    .where(UsageRow.user_id == bindparam("of"), UsageRow.month == bindparam("in"))
    .values(
        used=UsageRow.used + bindparam("made", type_=Integer),
        reserved=UsageRow.reserved - bindparam("returned", type_=Integer),
    )
)


def _reserve(*, is_sqlite: bool) -> Any:
    """The statement, built once: building it takes longer than running it."""
    count, last = bindparam("wanted", type_=Integer), bindparam("last", type_=Integer)
    month = bindparam("in", type_=String)
    # Of the existing user, and by a SELECT, whose condition holds for the month's first row too.
    row = select(UserRow.id, month, count, literal(0)).where(
        UserRow.id == bindparam("of", type_=String), last >= 0
    )
    columns = ["user_id", "month", "reserved", "used"]
    key = [UsageRow.user_id, UsageRow.month]
    more = {"reserved": UsageRow.reserved + count}
    within = UsageRow.reserved <= last
    if is_sqlite:
        lite = sqlite.insert(UsageRow).from_select(columns, row)
        return lite.on_conflict_do_update(index_elements=key, set_=more, where=within).returning(
            UsageRow.reserved
        )
    statement = postgresql.insert(UsageRow).from_select(columns, row)
    return statement.on_conflict_do_update(index_elements=key, set_=more, where=within).returning(
        UsageRow.reserved
    )
