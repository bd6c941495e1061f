"""The sessions of live streams that one worker serves: how many there may be, and their end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from project.api.user_shares import UserShares
from project.errors import Overloaded
from project.observability import metrics

RETRY_SECONDS = 5  # sessions last for minutes: this is how often a client may ask


class Closable(Protocol):
    """A session, as its registry sees it."""

    def restart(self) -> None:
        """End it, as the server stops or is replaced."""


class StreamSessions:
    """Counts the open sessions. limit: of this worker; a user may have half of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.closing = False  # the worker has stopped listening
        self._open: set[Closable] = set()
        self._admitted = 0
        self._of_users = UserShares(limit, "live streams")

    @contextmanager
    def admit(self, user_id: str | None = None) -> Iterator[None]:
        """Hold one place while the context is open.

        user_id: None with AUTH=off. Raises Overloaded where all are taken, and RateLimited where
        the user has its share.
        """
        self._of_users.check(user_id, RETRY_SECONDS)
        if self._admitted >= self.limit:
            raise Overloaded(
                f"this server has {self.limit} live streams in this process, as many as it may; "
                "come back after retry_after seconds",
                retry_after=RETRY_SECONDS,
            )
        self._admitted += 1
        metrics.STREAMS_ACTIVE.inc()
        try:
            with self._of_users.holding(user_id):
                yield
        finally:
            self._admitted -= 1
            metrics.STREAMS_ACTIVE.dec()

    @contextmanager
    def serving(self, session: Closable) -> Iterator[None]:
        """Have `close` end this session while the context is open."""
        self._open.add(session)
        if self.closing:
            session.restart()
        try:
            yield
        finally:
            self._open.discard(session)

    def close(self) -> None:
        """End all sessions, and those that are about to begin."""
        self.closing = True
        for session in list(self._open):
            session.restart()
