"""The outcome of an attempt; the job then succeeds, fails, is cancelled or is released."""

import time
from dataclasses import dataclass

from loguru import logger

from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.records import Job, StoredFile
from project.errors import BrokerUnavailable, JobTooLong, ProjectError, problem_type
from project.jobs.lease import Cancelled, Draining, Stop, TimeLimitExceeded
from project.jobs.queue import JobQueue
from project.jobs.user_jobs import UserJobs
from project.observability import metrics
from project.settings import Settings

MAX_PAUSE_SECONDS = 300.0  # before a retry
PERMANENT = range(400, 500)  # statuses of errors that another attempt would raise again
OUTAGE = 503  # status of errors that are not the job's: they cost none of its attempts


@dataclass(frozen=True)
class Succeeded:
    """The result is stored. seconds: stage → seconds."""

    result: StoredFile
    seconds: dict[str, float]


@dataclass(frozen=True)
class AttemptFailed:
    """The attempt raised an error."""

    error: ProjectError


@dataclass(frozen=True)
class Stopped:
    """The attempt was stopped between two steps."""

    reason: Stop


Outcome = Succeeded | AttemptFailed | Stopped


class OutcomeRecorder:
    """Records outcomes in the database. An attempt that has lost its lease records nothing.

    user_jobs: None with AUTH=off.
    """

    def __init__(
        self,
        settings: Settings,
        queries: JobQueries,
        transitions: JobTransitions,
        queue: JobQueue,
        user_jobs: UserJobs | None = None,
    ) -> None:
        self._settings = settings
        self._queries = queries
        self._transitions = transitions
        self._queue = queue
        self._user_jobs = user_jobs

    async def record(self, job: Job, owner: str, outcome: Outcome) -> None:
        """Record the outcome of the attempt that holds the lease as `owner`.

        It can be called again after DatabaseUnavailable, which it raises.
        """
        match outcome:
            case Succeeded(result, seconds):
                written = await self._transitions.succeed(
                    job.id, owner, time.time(), result, seconds
                )
                await self._count(job, owner, "succeeded", written=written)
            case AttemptFailed(error):
                await self._record_failure(job, owner, error)
            case Stopped(reason):
                await self._record_stop(job, owner, reason)

    async def _record_stop(self, job: Job, owner: str, reason: Stop) -> None:
        now = time.time()
        match reason:
            case Cancelled():
                written = await self._transitions.finish_cancelled(job.id, owner, now)
                await self._count(job, owner, "cancelled", written=written)
            case TimeLimitExceeded():
                error = JobTooLong(f"it took longer than {self._settings.job_seconds:g} s")
                written = await self._transitions.fail(job.id, owner, now, problem_of(error))
                await self._count(job, owner, "expired", written=written)
            case Draining():  # another worker can run it at once
                await self._release(job, owner, pause=0, counted=False)
            case _:  # the worker that holds the lease now records the outcome
                logger.warning("job_lease_lost")

    async def _record_failure(self, job: Job, owner: str, error: ProjectError) -> None:
        """Release the job for a retry where one may help, else let it fail."""
        log = logger.bind(problem=error.slug, detail=error.detail)
        if error.status == OUTAGE and self._may_wait(job):
            log.warning("job_run_put_off")
            pause = self._settings.job_retry_seconds
            await self._release(job, owner, pause=pause, counted=False, error=error)
        elif error.status not in PERMANENT and job.attempts < self._settings.job_attempts:
            log.opt(exception=error.__cause__).warning("job_run_failed")
            pause = self._settings.job_retry_seconds * 2 ** (job.attempts - 1)
            await self._release(job, owner, pause=min(pause, MAX_PAUSE_SECONDS), error=error)
        else:
            log.opt(exception=error.__cause__).warning("job_failed")
            written = await self._transitions.fail(job.id, owner, time.time(), problem_of(error))
            counted = await self._count(job, owner, "failed", written=written)
            if counted and error.status not in PERMANENT:
                metrics.JOBS_DEAD_LETTERS.labels(job.model).inc()
                log.error("job_dead")

    def _may_wait(self, job: Job) -> bool:
        """Whether the job is young enough to wait for the end of an outage."""
        return time.time() - job.created_at < self._settings.job_retention_seconds

    async def _release(
        self,
        job: Job,
        owner: str,
        *,
        pause: float,
        counted: bool = True,
        error: ProjectError | None = None,
    ) -> None:
        """Release the job and send it again after a pause in seconds.

        If the broker does not answer, a sweep sends it.
        """
        now = time.time()
        problem = problem_of(error) if error else None
        released = await self._transitions.release(
            job.id, owner, now, now + pause, problem, counted=counted
        )
        if released is None:
            logger.warning("job_lease_lost")
        elif released.status == "cancelled":
            await self._count(job, owner, "cancelled", written=True)
        else:
            logger.bind(pause_seconds=pause).info("job_given_back")
            try:
                if counted or pause:
                    await self._queue.send(released, pause)
                else:
                    await self._queue.send_first(released)
                await self._transitions.mark_sent(job.id, now + pause)
            except BrokerUnavailable:
                logger.warning("job_not_sent")

    async def _count(self, job: Job, owner: str, outcome: str, *, written: bool) -> bool:
        """Count and log the end of a job; returns whether this attempt ended it.

        written: whether the database changed the row now. If not, an earlier call may have changed
        it before its answer was lost.
        """
        if not written:
            row = await self._queries.get(job.id)
            status = "failed" if outcome == "expired" else outcome
            written = row is not None and (row.status, row.lease_owner) == (status, owner)
        if written:
            metrics.JOBS.labels(job.model, outcome).inc()
            logger.bind(outcome=outcome).info("job_ended")
            if self._user_jobs is not None:
                await self._user_jobs.job_ended(job)
        else:
            logger.warning("job_lease_lost")
        return written


def problem_of(error: ProjectError) -> dict[str, object]:
    """The problem document of a failed attempt; a response adds the ids of its request."""
    return {
        "type": problem_type(error.slug),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
