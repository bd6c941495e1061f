"""Submits jobs: decodes the inputs once, stores them, adds the row, then sends the message.

A picture that a worker could not decode is rejected while the client still waits for a response.

Once the first input is being stored, the submission finishes even if its request is cancelled: the
job exists whole or not at all.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from loguru import logger

from project.accounts.caller import Caller
from project.accounts.quota import Quota, Reservation
from project.api.jobs.sender import JobSender
from project.api.requests.reader import ModelRequest
from project.api.requests.unicode import check_text
from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions, check_same_request
from project.db.records import Input, Job, NewJob, new_id
from project.errors import (
    DatabaseUnavailable,
    InvalidImage,
    InvalidInput,
    Overloaded,
    ProjectError,
)
from project.inference.images.decoding import ImageLimits, decode
from project.jobs.queue import JobQueue
from project.models.base import AnyModel
from project.models.base.inputs import fields_of, pictures_of
from project.observability.context import REQUEST_ID, current_traceparent
from project.resources import size
from project.settings import Settings
from project.storage import Storage
from project.storage.names import download_name

KEY_HEADER = "Idempotency-Key"
TEXT_TYPE = "text/plain; charset=utf-8"
MAX_KEY = 255  # characters
KEY_PATTERN = r"^[\x21-\x7e]+$"
_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY}}}")


@dataclass(frozen=True)
class JobInput:
    """A picture that decodes, or a text. media_type: of a picture, as found in its bytes."""

    name: str
    data: bytes
    media_type: str


@dataclass(frozen=True)
class JobRequest:
    """A valid job request. key: the Idempotency-Key."""

    model: AnyModel
    params: dict[str, Any]
    inputs: tuple[JobInput, ...]
    fingerprint: str
    key: str | None


def idempotency_key(request: Request) -> str | None:
    """The request's Idempotency-Key, if it has one. Raises InvalidInput for an invalid key."""
    keys = request.headers.getlist(KEY_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        advice = "send one of 1 to 255 visible ASCII characters, such as a UUID"
        raise InvalidInput(
            f"the header {KEY_HEADER} cannot be used; {advice}", fields={KEY_HEADER: advice}
        )
    return keys[0]


def own_key(key: str | None, caller: Caller | None) -> str | None:
    """The Idempotency-Key as it is stored: after the user's id, so that each user has its own.

    No key has a space, so that none without a user is the same as one with a user.
    """
    return f"{caller.user_id} {key}" if key and caller else key


def job_request(
    model: AnyModel, limits: ImageLimits, request: ModelRequest, key: str | None
) -> JobRequest:
    """Decode every picture and take the fingerprint of the request; it blocks.

    Raises InvalidImage, and InvalidInput for parameters that JSON cannot hold.
    """
    values = request.params.model_dump(mode="json")
    check_text(values)  # again, because a model's validators may have changed the values
    inputs = tuple(
        _checked(model, limits, name, request.raw[name])
        for name in fields_of(model.inputs)
        if name in request.raw
    )
    content = [model.name, values, [[item.name, len(item.data)] for item in inputs]]
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise InvalidInput("send finite numbers; infinity and NaN are not allowed") from error
    fingerprint = hashlib.sha256(text.encode())
    for item in inputs:
        fingerprint.update(item.data)
    return JobRequest(model, values, inputs, fingerprint.hexdigest(), key)


def _checked(model: AnyModel, limits: ImageLimits, name: str, data: bytes | str) -> JobInput:
    if isinstance(data, str):
        return JobInput(name, data.encode(), TEXT_TYPE)
    try:
        decoded = decode(data, limits, fields_of(model.inputs)[name].useful_side)
    except InvalidImage as error:
        if len(pictures_of(model.inputs)) == 1:
            raise
        raise InvalidImage(f"`{name}`: {error.detail}", fields={name: error.detail}) from error
    return JobInput(name, data, decoded.media_type)


RETRY_AFTER = 10  # seconds, where too many jobs wait

T = TypeVar("T")


@dataclass(frozen=True)
class SubmissionBounds:
    """Bounds in seconds.

    send: time limit of sending a message; after it, a sweep of the workers sends it. backoff: pause
    after a send that timed out, because each attempt blocks a thread that predictions need too.
    close: time limit of the submissions in progress at the end of the process.
    """

    send: float = 2.0
    backoff: float = 5.0
    close: float = 2.0


class JobSubmission:
    """Submits jobs in one process."""

    def __init__(
        self,
        settings: Settings,
        queries: JobQueries,
        transitions: JobTransitions,
        storage: Storage,
        queue: JobQueue,
        bounds: SubmissionBounds | None = None,
        quota: Quota | None = None,
    ) -> None:
        self._settings = settings
        self._queries = queries
        self._transitions = transitions
        self._storage = storage
        self._bounds = bounds or SubmissionBounds()
        self._limits = ImageLimits.of(settings)
        self._threads = ThreadPoolExecutor(size(settings).streams, "validate")
        self._validating = 0  # requests in the threads or waiting for one
        self._in_progress: set[asyncio.Task[Any]] = set()
        self._quota = quota
        send_seconds, backoff_seconds = self._bounds.send, self._bounds.backoff
        usage = quota.usage if quota else None
        self.sender = JobSender(
            settings, queries, transitions, usage, queue, send_seconds, backoff_seconds
        )

    async def validate(self, model: AnyModel, request: ModelRequest, key: str | None) -> JobRequest:
        """Validate a request in a thread; see job_request.

        Raises Overloaded if QUEUE_LIMIT requests are being validated, or it takes too long.
        """
        if self._validating >= self._settings.queue_limit:
            raise Overloaded("too many images are being examined; try again soon", retry_after=1)
        self._validating += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.prediction_deadline_seconds):
                return await loop.run_in_executor(
                    self._threads, job_request, model, self._limits, request, key
                )
        except TimeoutError as error:
            raise Overloaded(
                "examining the images takes too long; try again soon, or send smaller ones",
                retry_after=1,
            ) from error
        finally:
            self._validating -= 1

    async def submit(self, request: JobRequest, caller: Caller | None = None) -> tuple[Job, bool]:
        """Add a job and send it, or find the one of the caller with the same idempotency key.

        A job of a caller costs one prediction of its quota, if it succeeds; until then that is
        reserved. Returns the job and whether it is new. Raises Overloaded, IdempotencyConflict,
        QuotaExceeded, StorageUnavailable or DatabaseUnavailable; then no trace of the job is left.
        """
        key = own_key(request.key, caller)
        known = await self._queries.get_by_key(key) if key else None
        if known is not None:
            check_same_request(known, request.fingerprint)
            return known, False
        await self.check_capacity(caller)
        return await self._finish_even_if_cancelled(self._submit(request, key, caller))

    async def check_capacity(self, caller: Caller | None = None) -> None:
        """Raise Overloaded if JOB_LIMIT jobs wait; for a job of a batch, if more than half do."""
        waiting, limit = await self._queries.count_waiting(), self._settings.job_limit
        is_batch = caller is not None and caller.priority == "batch"
        if waiting >= limit or (is_batch and 2 * waiting > limit):
            raise Overloaded("too many jobs wait; try again in a while", retry_after=RETRY_AFTER)

    async def retry(self, job: Job, caller: Caller | None = None) -> Job | None:
        """Run a failed job again; None where it has not failed, or has no files.

        It costs a prediction again, unless it is another user's. Raises what `submit` raises.
        """
        if self._quota is not None and job.quota_month is not None:
            await self._quota.usage.settle_job(job.id)  # its worker may not have done so yet
        is_own = caller is not None and caller.user_id == job.user_id
        reservation = await self._reserve(caller) if is_own else None
        try:
            month = reservation.month if reservation else None
            reset = await self._transitions.retry(job.id, time.time(), month)
        except BaseException:
            await _give_back(reservation)
            raise
        if reset is None:
            await _give_back(reservation)
            return None
        if reservation:
            reservation.hand_over()
        await self.sender.send(reset)
        return reset

    async def close(self) -> None:
        """Wait for the submissions in progress; cancel those that take too long."""
        if self._in_progress:
            _, late = await asyncio.wait(self._in_progress, timeout=self._bounds.close)
            for task in late:
                logger.warning("job_not_taken_in")
                task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _finish_even_if_cancelled(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._in_progress.add(task)
        task.add_done_callback(self._in_progress.discard)
        return await asyncio.shield(task)

    async def _reserve(self, caller: Caller | None) -> Reservation | None:
        if self._quota is None or caller is None:
            return None
        return await self._quota.reserve(caller.user_id, caller.quota)

    async def _submit(
        self, request: JobRequest, key: str | None, caller: Caller | None
    ) -> tuple[Job, bool]:
        reservation = await self._reserve(caller)
        try:
            new = self._new_job(request, key, caller, reservation)
            await self._store(request, new)
            job, is_new = await self._add(new)
        except BaseException:
            await _give_back(reservation)
            raise
        if not is_new:
            await _give_back(reservation)
            return job, False
        if reservation:
            reservation.hand_over()
        logger.bind(job_id=job.id, model=job.model, user_id=job.user_id).info("job_accepted")
        await self.sender.send(job)
        return job, True

    def _new_job(
        self,
        request: JobRequest,
        key: str | None,
        caller: Caller | None,
        reservation: Reservation | None,
    ) -> NewJob:
        now = time.time()
        job_id = new_id(now)
        inputs = [
            Input(
                name=item.name,
                key=f"jobs/{job_id}/inputs/{item.name}",
                media_type=item.media_type,
                size=len(item.data),
            )
            for item in request.inputs
        ]
        return NewJob(
            id=job_id,
            model=request.model.name,
            model_version=request.model.version,
            params=request.params,
            inputs=inputs,
            created_at=now,
            fingerprint=request.fingerprint,
            idempotency_key=key,
            request_id=REQUEST_ID.get(),
            traceparent=current_traceparent(),
            user_id=caller.user_id if caller else None,
            priority=caller.priority if caller else None,
            quota_month=reservation.month if reservation else None,
        )

    async def _store(self, request: JobRequest, new: NewJob) -> None:
        """Store every input, or none."""
        puts = [
            self._storage.put(
                stored["key"],
                item.data,
                item.media_type,
                download_name(new.model, new.id, item.name, media_type=item.media_type),
            )
            for stored, item in zip(new.inputs, request.inputs, strict=True)
        ]
        results = await asyncio.gather(*puts, return_exceptions=True)
        failures = [result for result in results if result is not None]
        if failures:
            await self._delete(new.inputs)
            raise failures[0]

    async def _add(self, new: NewJob) -> tuple[Job, bool]:
        """Add the row. If it is not added, or another job has its key, delete the inputs."""
        try:
            job, is_new = await self._transitions.add(new)
        except DatabaseUnavailable:
            # The row may exist although the answer was lost; then it must keep its inputs.
            added = await self._find_added(new)
            if added is not None:
                return added, True
            await self._delete(new.inputs)
            raise
        except Exception:
            await self._delete(new.inputs)
            raise
        if not is_new:
            await self._delete(new.inputs)
        return job, is_new

    async def _find_added(self, new: NewJob) -> Job | None:
        try:
            return await self._queries.get(new.id)
        except DatabaseUnavailable:
            if new.inputs:
                _log_orphans(new.inputs)
            raise

    async def _delete(self, inputs: Sequence[Input]) -> None:
        """Delete inputs that no job needs; log the keys of those that are left."""
        deletes = [self._storage.delete(item["key"]) for item in inputs]
        results = await asyncio.gather(*deletes, return_exceptions=True)
        left = [item for item, result in zip(inputs, results, strict=True) if result is not None]
        if left:
            _log_orphans(left)
        for result in results:
            if result is not None and not isinstance(result, ProjectError):
                raise result


async def _give_back(reservation: Reservation | None) -> None:
    if reservation is not None:
        await reservation.give_back()


def _log_orphans(inputs: Sequence[Input]) -> None:
    keys = ", ".join(item["key"] for item in inputs)
    logger.bind(keys=keys).warning("job_inputs_left")
