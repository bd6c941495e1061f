"""The job resources of one API process, opened after the fork and closed at its end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from project.accounts.caller import Caller
from project.accounts.quota import Quota
from project.api.jobs.events import JobFeed
from project.api.jobs.submission import JobSubmission
from project.api.readiness import Probe
from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.records import Job, is_id
from project.errors import BrokerUnavailable, JobNotFound
from project.jobs.queue import JobQueue, QueueState
from project.settings import Settings
from project.storage import Storage


@dataclass(frozen=True)
class JobServices:
    """What the routes of jobs use. probes: dependency → its readiness probe."""

    queries: JobQueries
    transitions: JobTransitions
    storage: Storage
    submission: JobSubmission
    feed: JobFeed
    probes: dict[str, Probe]
    queue: JobQueue

    async def queue_states(self, queues: Sequence[str]) -> dict[str, QueueState] | None:
        """Queue → its state; None where the broker does not answer."""
        try:
            return await self.queue.states(queues)
        except BrokerUnavailable:
            return None

    async def find(self, job_id: str, caller: Caller | None) -> Job:
        """The job with this id, if the caller may see it.

        Raises JobNotFound, for a malformed id and for the job of another user too.
        """
        job = await self.queries.get(job_id) if is_id(job_id) else None
        if job is None or owner(caller) not in {None, job.user_id}:
            raise JobNotFound("there is no job of this id; GET /v1/jobs lists the existing ones")
        return job


def owner(caller: Caller | None) -> str | None:
    """The user whose jobs alone the caller may see; None where it may see all."""
    return None if caller is None or caller.is_admin else caller.user_id


@asynccontextmanager
async def open_job_services(
    settings: Settings,
    engine: AsyncEngine,
    storage: Storage,
    make_queue: Callable[[Settings], JobQueue],
    quota: Quota | None = None,
) -> AsyncIterator[JobServices]:
    """Open the services while the context is open, without connecting to anything yet.

    quota: None with AUTH=off.
    """
    queries, transitions = JobQueries(engine), JobTransitions(engine)
    queue = make_queue(settings)
    submission = JobSubmission(settings, queries, transitions, storage, queue, quota=quota)
    feed = JobFeed(queries)
    checks = {"database": queries.check, "storage": storage.check, "broker": queue.check}
    probes = {name: Probe(check) for name, check in checks.items()}
    try:
        yield JobServices(queries, transitions, storage, submission, feed, probes, queue)
    finally:
        await feed.aclose()
        await submission.close()
        await asyncio.to_thread(queue.close)
