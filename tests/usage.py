"""Users for tests of quotas and limits; other processes import it, so it imports no pytest."""

from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from project.accounts.caller import ROLE_SCOPES, Caller
from project.db.tables import UserRow
from project.db.usage import BLOCK_SHARE, ChangeUnconfirmed, Usage, UsageChange
from project.errors import DatabaseUnavailable

QUOTA = 10


async def add_user(engine: AsyncEngine, user_id: str = "ann") -> None:
    """A user, of whom nothing but the id matters."""
    row = {
        "id": user_id,
        "email": f"{user_id}@example.org",
        "username": user_id,
        "full_name": f"{user_id} Example",
        "role": "user",
        "active": True,
        "created_at": 0.0,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(UserRow).values(row))


def caller(user_id: str = "ann", **changes: Any) -> Caller:
    """A user as a caller."""
    fixed: dict[str, Any] = {"role": "user", "scopes": ROLE_SCOPES["user"], "quota": QUOTA}
    return Caller(user_id, **fixed | changes)


class FakeUsage(Usage):
    """The table of usage in memory.

    away: the database does not answer. unconfirmed: it writes changes, and does not answer.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[int]] = {}  # reserved, used
        self.away = self.unconfirmed = False
        self.calls = 0

    async def reserve(self, user_id: str, month: str, count: int, quota: int) -> int | None:
        self._answer()
        row = self.rows.setdefault((user_id, month), [0, 0])
        needed = count if count == 1 else count * BLOCK_SHARE
        if row[0] + needed > quota:
            return None
        row[0] += count
        return row[0]

    async def change(self, changes: Any) -> None:
        self._answer()
        for change in changes:
            self._apply(change)
        if self.unconfirmed:
            raise ChangeUnconfirmed("the database does not answer")

    async def get(self, user_id: str, month: str) -> tuple[int, int]:
        self._answer()
        reserved, used = self.rows.get((user_id, month), (0, 0))
        return reserved, used

    def _apply(self, change: UsageChange) -> None:
        row = self.rows[change.user_id, change.month]
        row[0] -= change.returned
        row[1] += change.used

    def _answer(self) -> None:
        self.calls += 1
        if self.away:
            raise DatabaseUnavailable("the database does not answer")
