"""A job's changes as server-sent events (WHATWG HTML, section 9.2)."""

import re
from collections.abc import AsyncIterator

from project.api.jobs.feed import JobFeed
from project.api.jobs.schemas import ENDED, JobView
from project.db.records import Job
from project.errors import InvalidInput

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until its buffer is full
}
COMMENT = ": still here\n\n"
COMMENT_SECONDS = 15.0  # a connection that is silent for longer is closed by some proxies
_REVISION = re.compile(r"[0-9]{1,15}")


def last_seen(header: str | None) -> int | None:
    """The revision that a client has seen, by its Last-Event-ID. Raises InvalidInput."""
    if not header:  # the empty id is that of a client which has seen none
        return None
    if not _REVISION.fullmatch(header):
        advice = "send the id of the last event that came, or leave the header out"
        raise InvalidInput(
            f"the header Last-Event-ID cannot be used; {advice}", fields={"Last-Event-ID": advice}
        )
    return int(header)


async def stream(
    feed: JobFeed, job: Job, seen: int | None, comment_seconds: float = COMMENT_SECONDS
) -> AsyncIterator[str]:
    """An event for each revision that is newer than the one seen, until the job has ended.

    What changes several times between two looks makes one event. An id that is newer than the job
    was of another database, and counts for nothing.
    """
    sent = 0 if seen is None or seen > job.revision else seen
    with feed.watch(job) as watched:
        while True:
            now = watched.job
            if now is None:
                return
            if now.revision > sent:
                yield event(now)
                sent = now.revision
            if now.status in ENDED or feed.closed:
                return
            if watched.job is now:  # nothing came while the event went out
                await watched.change(comment_seconds)
            if watched.job is now and not feed.closed:
                yield COMMENT


def event(job: Job) -> str:
    """A job as an event, whose id is the revision."""
    view = JobView.of(job).model_dump_json()  # in one line, as JSON escapes the others
    return f"event: job\nid: {job.revision}\ndata: {view}\n\n"
