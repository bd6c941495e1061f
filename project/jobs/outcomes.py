"""What becomes of a job by one of its runs: it succeeds, fails, is cancelled or is tried again."""

import time

from loguru import logger

from project.db.job_transitions import Job, JobTransitions, StoredFile
from project.errors import BrokerUnavailable, JobTooLong, ProjectError, problem_type
from project.jobs.lease import Cancelled, Leaving, Stop, TimeUp
from project.jobs.send import Sender
from project.observability import metrics
from project.settings import Settings

LONGEST_PAUSE_SECONDS = 300.0
HOPELESS = range(400, 500)  # statuses of what another run would meet again
OUTAGE = 503  # of what is no fault of the job's: it costs none of its attempts


class WorkersDied(ProjectError):
    """Its workers died while they ran it, again and again."""

    title = "Workers died"


class Outcomes:
    """Writes the ends of runs. Where the lease is lost by then, the run counts for nothing."""

    def __init__(self, settings: Settings, jobs: JobTransitions, sender: Sender) -> None:
        self._settings = settings
        self._jobs = jobs
        self._sender = sender

    def check_attempts(self, job: Job) -> None:
        """Raise WorkersDied where all attempts were used and no worker lived to say so."""
        if job.attempts > self._settings.job_attempts:
            raise WorkersDied(
                "its workers died while they ran it, or lost the database; "
                "if they died, their memory may not suffice"
            )

    async def succeeded(
        self, job: Job, owner: str, result: StoredFile, seconds: dict[str, float]
    ) -> None:
        """It has its result."""
        done = await self._jobs.succeed(job.id, owner, time.time(), result, seconds)
        await self._end(job, owner, "succeeded", done=done)

    async def stopped(self, job: Job, owner: str, stop: Stop) -> None:
        """It was stopped between two steps."""
        now = time.time()
        match stop:
            case Cancelled():
                done = await self._jobs.cancelled(job.id, owner, now)
                await self._end(job, owner, "cancelled", done=done)
            case TimeUp():
                error = JobTooLong(f"it took longer than {self._settings.job_seconds:g} s")
                done = await self._jobs.fail(job.id, owner, now, problem_of(error))
                await self._end(job, owner, "expired", done=done)
            case Leaving():  # another worker may run it at once
                await self._again(job, owner, pause=0, counted=False)
            case _:  # the lease is lost: it is another worker's to say how it ends
                logger.warning("job_lease_lost")

    async def failed(self, job: Job, owner: str, error: ProjectError) -> None:
        """Try it again where that may help, else let it fail."""
        log = logger.bind(problem=error.slug, detail=error.detail)
        if error.status == OUTAGE and self._young(job):
            log.warning("job_run_put_off")
            pause = self._settings.job_retry_seconds
            await self._again(job, owner, pause=pause, counted=False, error=error)
        elif error.status not in HOPELESS and job.attempts < self._settings.job_attempts:
            log.opt(exception=error.__cause__).warning("job_run_failed")
            pause = self._settings.job_retry_seconds * 2 ** (job.attempts - 1)
            await self._again(job, owner, pause=min(pause, LONGEST_PAUSE_SECONDS), error=error)
        else:
            log.opt(exception=error.__cause__).warning("job_failed")
            done = await self._jobs.fail(job.id, owner, time.time(), problem_of(error))
            done = await self._end(job, owner, "failed", done=done)
            if done and error.status not in HOPELESS:
                metrics.JOBS_DEAD_LETTERS.labels(job.model).inc()
                log.error("job_dead")

    def _young(self, job: Job) -> bool:
        """Whether there is time yet to wait for what is out of order."""
        return time.time() - job.created_at < self._settings.job_retention_seconds

    async def _again(
        self,
        job: Job,
        owner: str,
        *,
        pause: float,
        counted: bool = True,
        error: ProjectError | None = None,
    ) -> None:
        """Have it run again after a pause, seconds; what cannot be sent now the sweep will send."""
        now = time.time()
        problem = problem_of(error) if error else None
        released = await self._jobs.release(
            job.id, owner, now, now + pause, problem, counted=counted
        )
        if released is None:
            logger.warning("job_lease_lost")
        elif released.status == "cancelled":
            await self._end(job, owner, "cancelled", done=True)
        else:
            logger.bind(pause_seconds=pause).info("job_given_back")
            try:
                await self._sender.send(released, pause, first=not counted and not pause)
                await self._jobs.mark_sent(job.id, now + pause)
            except BrokerUnavailable:
                logger.warning("job_not_sent")

    async def _end(self, job: Job, owner: str, outcome: str, *, done: bool) -> bool:
        """Count an end, and say so; returns whether it is one.

        done: whether the database wrote it just now. Where it did not, it may have done so before
        its answer was lost.
        """
        if not done:
            row = await self._jobs.get(job.id)
            written = "failed" if outcome == "expired" else outcome
            done = row is not None and (row.status, row.lease_owner) == (written, owner)
        if done:
            metrics.JOBS.labels(job.model, outcome).inc()
            logger.bind(outcome=outcome).info("job_ended")
        else:
            logger.warning("job_lease_lost")
        return done


def problem_of(error: ProjectError) -> dict[str, object]:
    """The problem document of a failed run; the ids are those of whoever asks for it."""
    return {
        "type": problem_type(error.slug),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
