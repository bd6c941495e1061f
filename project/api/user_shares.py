"""Bounds what one user holds of what a process has few of: live streams, event streams."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from project.errors import RateLimited

SHARE = 2  # a user may hold one in so many, and at least one


class UserShares:
    """Counts what each user holds. total: what the process has. name: what it is, in the plural."""

    def __init__(self, total: int, name: str) -> None:
        self._limit = max(1, total // SHARE)
        self._name = name
        self._held: Counter[str] = Counter()

    def check(self, user_id: str | None, retry_after: int) -> None:
        """Raise RateLimited where the user holds its share. user_id: None with AUTH=off."""
        if user_id is not None and self._held[user_id] >= self._limit:
            raise RateLimited(
                f"you have {self._limit} {self._name} in this process, as many as one user may; "
                "close some",
                retry_after=retry_after,
            )

    @contextmanager
    def holding(self, user_id: str | None) -> Iterator[None]:
        """Count one for the user while the context is open."""
        if user_id is None:
            yield
            return
        self._held[user_id] += 1
        try:
            yield
        finally:
            self._held[user_id] -= 1
            if not self._held[user_id]:
                del self._held[user_id]
