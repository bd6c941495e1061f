"""One worker process: what it opens before its first job and closes after its last.

Dramatiq calls the hooks of this middleware; all that they open lives on the event loop's thread.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from types import FrameType
from typing import Any, TypeVar

import dramatiq
from dramatiq import Worker
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO
from loguru import logger

from project.db.engine import open_database
from project.db.job_transitions import JobTransitions
from project.errors import DatabaseUnavailable
from project.jobs.execution import JobExecutor
from project.jobs.job_models import JobModels
from project.jobs.queue import Queue
from project.jobs.send import Sender, connect
from project.jobs.sweep import Sweep
from project.models.base import AnyModel
from project.observability import sentry
from project.observability.logging import configure_logging
from project.observability.process import watch_process
from project.observability.tracing import make_provider
from project.processes.parent_death import end_with_parent
from project.settings import Settings
from project.storage import make_storage

T = TypeVar("T")
CLOSE_SECONDS = 3.0  # after WORKER_SHUTDOWN_SECONDS, for traces and Sentry
NOT_STARTED = 70  # EX_SOFTWARE of <sysexits.h>
LOOP_START_SECONDS = 30.0  # Dramatiq allows one, which a busy machine may exceed


class WorkerProcess(AsyncIO):
    """Starts the event loop, opens everything, runs jobs, closes everything."""

    def __init__(self, settings: Settings, models: Sequence[AnyModel]) -> None:
        super().__init__()
        self._settings = settings
        self._models = models
        self._open = AsyncExitStack()
        self._runs: JobExecutor | None = None
        self._loop: EventLoopThread | None = None

    async def run(self, job_id: str) -> None:
        """The one actor."""
        if self._runs is None:
            raise RuntimeError("the worker process is not open")
        try:
            await self._runs.run(job_id)
        except DatabaseUnavailable:  # as the process leaves; a sweep finds the job
            logger.bind(job_id=job_id).warning("job_left")

    def before_worker_boot(self, broker: dramatiq.Broker, _worker: Worker) -> None:
        """Load the models and open the database, the storage and the broker.

        Dramatiq would go on where this fails, and throw away message after message; so it ends the
        process, and the supervisor starts another.
        """
        _end_with_leader()
        _terminate_once()
        try:
            self._loop = EventLoopThread(self.logger)
            self._loop.start(timeout=LOOP_START_SECONDS)
            set_event_loop_thread(self._loop)
            self._on_loop(self._start(broker))
        except BaseException as error:  # noqa: BLE001 - see above
            logger.opt(exception=error).critical("worker_not_started")
            sentry.close()
            os._exit(NOT_STARTED)

    def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: Worker) -> None:
        """Have the job in hand given back, and this process end, whatever holds it up."""
        patience = self._settings.worker_shutdown_seconds + CLOSE_SECONDS
        end = threading.Timer(patience, os._exit, [1])
        end.daemon = True
        end.start()
        self._on_loop(self._leave())

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:
        """Close everything, then the event loop."""
        self._on_loop(self._open.aclose())
        super().after_worker_shutdown(broker, worker)  # type: ignore[no-untyped-call]

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            raise RuntimeError("the event loop has not started")
        return self._loop.run_coroutine(work)

    async def _leave(self) -> None:
        if self._runs:
            self._runs.leave()

    async def _start(self, broker: dramatiq.Broker) -> None:
        settings, stack = self._settings, self._open
        configure_logging(settings)
        sentry.configure_sentry(settings)
        stack.push_async_callback(asyncio.to_thread, sentry.close)
        provider = make_provider(settings)
        if provider:
            stack.push_async_callback(asyncio.to_thread, provider.shutdown)
        stack.callback(logger.info, "worker_stopped")
        await stack.enter_async_context(watch_process(settings.revision))
        jobs = JobTransitions(await stack.enter_async_context(open_database(settings)))
        models = await stack.enter_async_context(JobModels(self._models, settings))
        storage = make_storage(settings)
        sender = Sender(_redis(broker))
        client = connect(settings)
        stack.callback(client.close)
        self._runs = JobExecutor(settings, jobs, storage, models, sender, provider)
        sweep = Sweep(settings, jobs, storage, sender, Queue(client))
        for sweeping in (sweep.keep_sending(), sweep.keep_clearing()):
            stack.callback(asyncio.create_task(sweeping).cancel)
        logger.info("worker_ready")


def _end_with_leader() -> None:
    """End with Dramatiq's main process: at once, for it was killed; the lease covers the job."""
    leader = multiprocessing.parent_process()
    if leader and leader.pid:
        end_with_parent(leader.pid, signal.SIGKILL)


def _terminate_once() -> None:
    """Take SIGTERM once: the second would end the process at once, with its job in hand.

    There are always two where the sender means the whole group, as honcho and systemd do: Dramatiq
    passes its own on.
    """
    first = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if callable(first):
            first(number, frame)

    signal.signal(signal.SIGTERM, stop)


def _redis(broker: dramatiq.Broker) -> RedisBroker:
    if not isinstance(broker, RedisBroker):
        raise TypeError("jobs are sent through Redis")
    return broker
