"""One run of one job: claim it, do its work, put the result away, then say that it succeeded.

The database decides who runs a job: its message may come twice, late or not at all. A result is
stored before the row says that it is there, under a name of this run's own, so that a run that has
lost its lease can neither overwrite another's result nor be taken for it.
"""

import time
import uuid
from collections.abc import Mapping

from loguru import logger

from project.db.jobs import Job, Jobs
from project.errors import (
    JobTooLong,
    ModelUnavailable,
    ProjectError,
)
from project.inference.images import ImageLimits
from project.jobs.send import Sender
from project.jobs.watch import Cancelled, LeaseLost, TimeUp, Watch
from project.models._long import AnyModel
from project.settings import Settings
from project.storage import Storage

MOST_RETRY_SECONDS = 300.0
HOPELESS = range(400, 500)  # statuses of what another run would meet again
LAST_SHARE = 1.0


class Runs:
    """Runs jobs in one worker process."""

    def __init__(
        self,
        settings: Settings,
        jobs: Jobs,
        storage: Storage,
        models: Mapping[str, AnyModel],
        sender: Sender,
    ) -> None:
        self._settings = settings
        self._limits = ImageLimits.of(settings)
        self._jobs = jobs
        self._storage = storage
        self._models = models
        self._sender = sender

    async def run(self, job_id: str) -> None:
        """Run a job, unless another worker does or it has ended. Raises DatabaseUnavailable."""
        owner = uuid.uuid4().hex
        settings = self._settings
        job = await self._jobs.claim(job_id, owner, time.time(), settings.job_lease_seconds)
        if job is None:
            return
        over = Watch(self._jobs, job, owner, settings.job_lease_seconds, settings.job_seconds)
        with logger.contextualize(job_id=job.id, model=job.model, attempt=job.attempts):
            logger.info("job_started")
            async with over.held():
                await self._attempt(job, owner, over)

    async def _attempt(self, job: Job, owner: str, over: Watch) -> None:
        try:
            if job.attempts > settings_attempts(self._settings):
                raise ModelUnavailable("its workers died again and again while they ran it")
            output = await self._output(job, over)
            await self._succeed(job, owner, output)
        except LeaseLost:
            logger.warning("job_lease_lost")
        except Cancelled:
            if await self._jobs.cancelled(job.id, owner, time.time()):
                logger.info("job_cancelled")
        except TimeUp:
            limit = self._settings.job_seconds
            error = JobTooLong(f"it took longer than {limit:g} s; send a smaller input")
            await self._fail(job, owner, error)
        except ProjectError as error:
            await self._retry_or_fail(job, owner, error)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not lose the job
            logger.opt(exception=error).error("job_run_failed")
            await self._retry_or_fail(job, owner, ProjectError("this is our fault, not yours"))
