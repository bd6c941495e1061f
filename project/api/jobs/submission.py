"""Takes jobs in: their images into the storage, their rows into the database, then their messages.

Once the first file is on its way, what was begun is ended even if nobody waits for it any more:
the job is there whole, or nothing of it is.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from loguru import logger

from project.api.jobs.request import JobRequest, examine
from project.db.job_transitions import Input, Job, JobTransitions, NewJob, check_same, new_id
from project.errors import BrokerUnavailable, DatabaseUnavailable, Overloaded, ProjectError
from project.inference.images.decoding import ImageLimits
from project.jobs.send import Sender
from project.models.base import AnyModel, Params
from project.observability.context import REQUEST_ID, current_traceparent
from project.resources import size
from project.settings import Settings
from project.storage import Storage

SEND_SECONDS = 2.0  # a broker that takes longer is done without: the workers look for jobs as well
ALONE_SECONDS = 5.0  # and left alone: each try holds a thread that predictions want too
CLOSE_SECONDS = 2.0  # at the end of the process, for what is under way
RETRY_AFTER = 10  # seconds, for who comes when too many jobs wait

T = TypeVar("T")


class JobSubmission:
    """Takes jobs in, in one process."""

    def __init__(
        self,
        settings: Settings,
        jobs: JobTransitions,
        storage: Storage,
        sender: Sender,
        *,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._send_seconds = send_seconds
        self._send_from = 0.0  # by the monotonic clock; no message is sent before
        self._settings = settings
        self._jobs = jobs
        self._storage = storage
        self._sender = sender
        self._limits = ImageLimits.of(settings)
        self._threads = ThreadPoolExecutor(size(settings).streams, "examine")
        self._examined = 0  # orders that are, or wait for it
        self._under_way: set[asyncio.Task[Any]] = set()

    async def examine(
        self, model: AnyModel, images: dict[str, bytes], params: Params, key: str | None
    ) -> JobRequest:
        """See whether this can be done at all; see orders.examine.

        Raises Overloaded where too many wait for that, or it takes too long.
        """
        if self._examined >= self._settings.queue_limit:
            raise Overloaded("too many images are being examined; try again soon", retry_after=1)
        self._examined += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.prediction_deadline_seconds):
                return await loop.run_in_executor(
                    self._threads, examine, model, self._limits, images, params, key
                )
        except TimeoutError as error:
            raise Overloaded(
                "examining the images takes too long; try again soon, or send smaller ones",
                retry_after=1,
            ) from error
        finally:
            self._examined -= 1

    async def accept(self, order: JobRequest) -> tuple[Job, bool]:
        """Take a job in, or find the one that was asked for with the same key.

        Returns the job and whether it is new. Raises Overloaded, IdempotencyConflict,
        StorageUnavailable or DatabaseUnavailable, and then nothing is left of it.
        """
        known = await self._jobs.with_key(order.key) if order.key else None
        if known is not None:
            check_same(known, order.fingerprint)
            return known, False
        await self.check_room()
        return await self._to_its_end(self._take_in(order))

    async def check_room(self) -> None:
        """Raise Overloaded where as many jobs wait as may."""
        if await self._jobs.waiting() >= self._settings.job_limit:
            raise Overloaded("too many jobs wait; try again in a while", retry_after=RETRY_AFTER)

    async def send(self, job: Job) -> None:
        """Have a job run. Where that fails a worker finds it all the same, a little later."""
        log = logger.bind(job_id=job.id, model=job.model)
        if time.monotonic() < self._send_from:
            log.bind(reason="the broker hung a moment ago").warning("job_not_sent")
            return
        try:
            async with asyncio.timeout(self._send_seconds):
                await self._sender.send(job)
        except BrokerUnavailable as error:
            log.bind(reason=type(error.__cause__ or error).__name__).warning("job_not_sent")
            return
        except TimeoutError:
            self._send_from = time.monotonic() + ALONE_SECONDS
            log.bind(reason="the broker hangs").warning("job_not_sent")
            return
        try:
            await self._jobs.mark_sent(job.id, time.time())
        except DatabaseUnavailable:
            log.warning("job_not_marked_sent")  # it will be sent twice, and run once

    async def close(self) -> None:
        """Wait for what is under way, but not for long."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=CLOSE_SECONDS)
            for task in late:
                logger.warning("job_not_taken_in")
                task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that goes on if who awaits it is cancelled."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _take_in(self, order: JobRequest) -> tuple[Job, bool]:
        now = time.time()
        job_id = new_id(now)
        inputs = [
            Input(
                name=image.name,
                key=f"jobs/{job_id}/inputs/{image.name}",
                media_type=image.media_type,
                size=len(image.data),
            )
            for image in order.images
        ]
        new = NewJob(
            id=job_id,
            model=order.model.name,
            model_version=order.model.version,
            params=order.params,
            inputs=inputs,
            created_at=now,
            fingerprint=order.fingerprint,
            idempotency_key=order.key,
            request_id=REQUEST_ID.get(),
            traceparent=current_traceparent(),
        )
        await self._store(order, inputs)
        job, is_new = await self._add(new)
        if is_new:
            logger.bind(job_id=job.id, model=job.model).info("job_accepted")
            await self.send(job)
        return job, is_new

    async def _store(self, order: JobRequest, inputs: Sequence[Input]) -> None:
        """Keep all images or none."""
        puts = [
            self._storage.put(item["key"], image.data, image.media_type)
            for item, image in zip(inputs, order.images, strict=True)
        ]
        outcomes = await asyncio.gather(*puts, return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            await self._drop(inputs)
            raise failures[0]

    async def _add(self, new: NewJob) -> tuple[Job, bool]:
        """Keep the row; where another has its key, or it cannot be kept, its files go."""
        try:
            job, is_new = await self._jobs.add(new)
        except DatabaseUnavailable:
            # Perhaps the answer was lost and not the row: a job that is there must have its files.
            job_there = await self._look_again(new)
            if job_there is not None:
                return job_there, True
            await self._drop(new.inputs)
            raise
        except Exception:
            await self._drop(new.inputs)
            raise
        if not is_new:
            await self._drop(new.inputs)
        return job, is_new

    async def _look_again(self, new: NewJob) -> Job | None:
        try:
            return await self._jobs.get(new.id)
        except DatabaseUnavailable:
            if new.inputs:
                _say_left(new.inputs)
            raise

    async def _drop(self, inputs: Sequence[Input]) -> None:
        """Delete files that no job needs; one that stays is named in the log."""
        deletes = [self._storage.delete(item["key"]) for item in inputs]
        outcomes = await asyncio.gather(*deletes, return_exceptions=True)
        left = [item for item, outcome in zip(inputs, outcomes, strict=True) if outcome is not None]
        if left:
            _say_left(left)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, ProjectError):
                raise outcome


def _say_left(inputs: Sequence[Input]) -> None:
    keys = ", ".join(item["key"] for item in inputs)
    logger.bind(keys=keys).warning("job_inputs_left")
