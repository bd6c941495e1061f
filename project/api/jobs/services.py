"""What jobs need in a process of the API, opened after the fork and closed at its end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from project.api.jobs.feed import JobFeed
from project.api.jobs.submission import JobSubmission
from project.api.readiness import Probe
from project.db.engine import open_database
from project.db.job_transitions import Job, JobTransitions
from project.errors import BrokerUnavailable, JobNotFound
from project.jobs.queue import Queue, QueueState
from project.jobs.send import Sender, connect
from project.settings import Settings
from project.storage import Storage

ID_DIGITS = 32


@dataclass(frozen=True)
class JobServices:
    """Where jobs are taken in and asked after."""

    jobs: JobTransitions
    storage: Storage
    intake: JobSubmission
    feed: JobFeed
    probes: dict[str, Probe]
    queue: Queue

    async def queue_state(self) -> QueueState | None:
        """What the broker says of the queue; nothing where it does not answer."""
        try:
            return await asyncio.to_thread(self.queue.state)
        except BrokerUnavailable:
            return None

    async def find(self, job_id: str) -> Job:
        """The job of that id. Raises JobNotFound, for what is no id at all too."""
        well_formed = len(job_id) == ID_DIGITS and not set(job_id) - set("0123456789abcdef")
        job = await self.jobs.get(job_id) if well_formed else None
        if job is None:
            raise JobNotFound("there is no job of this id; GET /v1/jobs lists those that there are")
        return job


@asynccontextmanager
async def open_job_services(
    settings: Settings, storage: Storage, make_sender: Callable[[Settings], Sender]
) -> AsyncIterator[JobServices]:
    """A desk for the length of the body. What is not there then is found out by who needs it."""
    async with open_database(settings) as engine:
        jobs = JobTransitions(engine)
        sender = make_sender(settings)
        client = connect(settings)
        intake = JobSubmission(settings, jobs, storage, sender)
        feed = JobFeed(jobs)
        checks = {"database": jobs.check, "storage": storage.check, "broker": sender.check}
        probes = {name: Probe(check) for name, check in checks.items()}
        try:
            yield JobServices(jobs, storage, intake, feed, probes, Queue(client))
        finally:
            feed.close()
            await intake.close()
            await asyncio.to_thread(sender.close)
            client.close()
