"""A job's changes as server-sent events (WHATWG HTML, section 9.2), polled from the database.

One query about twice a second reads every job that any client of this process follows.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from loguru import logger

from project.api.jobs.schemas import ENDED, JobView
from project.api.user_shares import UserShares
from project.db.job_queries import JobQueries
from project.db.records import Job
from project.errors import DatabaseUnavailable, InvalidInput, Overloaded

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until its buffer is full
}
COMMENT = ": still here\n\n"
COMMENT_SECONDS = 15.0  # some proxies close a connection that is silent for longer
POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0  # until the next poll after an error
MAX_SUBSCRIBERS = 1000  # in one process; each costs memory and a share of the query
RETRY_AFTER = 10
ID_PATTERN = "^[0-9]{0,15}$"  # of Last-Event-ID: a revision, or empty before the first event
_REVISION = re.compile(r"[0-9]{1,15}")
# OpenAPI has no place for the schema of one event before 3.2 (`itemSchema`); until then tools read
# `schema` as that of each event of a stream, with `data` as the text that it is.
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "One event of the stream, by its fields (WHATWG HTML, section 9.2).",
    "required": ["event", "id", "data"],
    "properties": {
        "event": {"type": "string", "const": "job"},
        "id": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "The job's revision; a client that reconnects sends it as "
            "`Last-Event-ID`.",
        },
        "data": {
            "type": "string",
            "description": "The job as JSON, as GET shows it.",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/JobView"},
        },
    },
}


class WatchedJob:
    """A job as of the last poll; None once it does not exist any more."""

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.subscribers = 0
        self._changed = asyncio.Event()

    def update(self, job: Job | None) -> None:
        """Take a job as read, unless it is older than the known one."""
        if job is None or self.job is None or job.revision > self.job.revision:
            self.job = job
            self.wake()

    def wake(self) -> None:
        """Wake every task that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, timeout_seconds: float) -> None:
        """Return at the next change, or after the time-out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()


class JobFeed:
    """Polls the jobs that the clients of one process follow. closed: it polls no more."""

    def __init__(
        self,
        queries: JobQueries,
        *,
        poll_seconds: float = POLL_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.closed = False
        self._queries = queries
        self._poll_seconds = poll_seconds
        self._retry_seconds = retry_seconds
        self._watched: dict[str, WatchedJob] = {}
        self._subscribers = 0
        self._of_users = UserShares(MAX_SUBSCRIBERS, "event streams")
        self._polling: asyncio.Task[None] | None = None

    def check_capacity(self, user_id: str | None = None) -> None:
        """Raise Overloaded at MAX_SUBSCRIBERS, and RateLimited where a user has its share."""
        self._of_users.check(user_id, RETRY_AFTER)
        if self._subscribers >= MAX_SUBSCRIBERS:
            raise Overloaded(
                "too many event streams are open; poll GET /v1/jobs/{id} instead",
                retry_after=RETRY_AFTER,
            )

    @contextmanager
    def subscribe(self, job: Job, user_id: str | None = None) -> Iterator[WatchedJob]:
        """Poll a job while the context is open. user_id: of the client; None with AUTH=off."""
        watched = self._watched.setdefault(job.id, WatchedJob(job))
        watched.update(job)
        watched.subscribers += 1
        self._subscribers += 1
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            with self._of_users.holding(user_id):
                yield watched
        finally:
            watched.subscribers -= 1
            self._subscribers -= 1
            if not watched.subscribers:
                del self._watched[job.id]

    def close(self) -> None:
        """End every stream."""
        self.closed = True
        for watched in self._watched.values():
            watched.wake()

    async def aclose(self) -> None:
        """End every stream and the polling."""
        self.close()
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])

    async def _poll(self) -> None:
        """Poll until no client is left."""
        pause = self._poll_seconds
        while True:
            await asyncio.sleep(pause)
            if self.closed or not self._watched:
                return
            pause = self._poll_seconds if await self._update_all() else self._retry_seconds

    async def _update_all(self) -> bool:
        """Read every watched job; returns whether that worked."""
        asked = list(self._watched)
        try:
            found = {job.id: job for job in await self._queries.get_many(asked)}
        except DatabaseUnavailable:  # logged where it was raised
            return False
        except Exception as error:  # noqa: BLE001 - a bug must not end the polling
            logger.opt(exception=error).error("job_feed_failed")
            return False
        for job_id in asked:
            watched = self._watched.get(job_id)
            if watched is not None:
                watched.update(found.get(job_id))
        return True


def last_event_id(header: str | None) -> int | None:
    """The revision in a Last-Event-ID header. Raises InvalidInput."""
    if not header:  # a client that has seen no event sends an empty id
        return None
    if not _REVISION.fullmatch(header):
        advice = "send the id of the last event that came, or leave the header out"
        raise InvalidInput(
            f"the header Last-Event-ID cannot be used; {advice}", fields={"Last-Event-ID": advice}
        )
    return int(header)


async def stream(
    feed: JobFeed,
    job: Job,
    seen: int | None,
    comment_seconds: float = COMMENT_SECONDS,
    user_id: str | None = None,
) -> AsyncGenerator[str, None]:
    """Yield an event for each polled revision after `seen`, until the job has ended.

    Several changes between two polls make one event. A `seen` that is newer than the job comes from
    another database and is ignored.
    """
    sent = 0 if seen is None or seen > job.revision else seen
    with feed.subscribe(job, user_id) as watched:
        while True:
            current = watched.job
            if current is None:
                return
            if current.revision > sent:
                yield event(current)
                sent = current.revision
            if current.status in ENDED or feed.closed:
                return
            if watched.job is current:  # no change while the event was sent
                await watched.wait_for_change(comment_seconds)
            if watched.job is current and not feed.closed:
                yield COMMENT


def event(job: Job) -> str:
    """A job as an event, whose id is the revision."""
    view = JobView.of(job).model_dump_json()  # one line, because JSON escapes line breaks
    return f"event: job\nid: {job.revision}\ndata: {view}\n\n"
