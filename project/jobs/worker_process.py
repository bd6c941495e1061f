"""The lifecycle of a worker process: opens its resources, runs its jobs, closes the resources.

Dramatiq calls the hooks of this middleware. What they open belongs to the event loop's thread.
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
from dramatiq.broker import MessageProxy
from dramatiq.middleware import AsyncIO
from dramatiq.middleware.prometheus import Prometheus
from loguru import logger

from project.db.engine import open_database
from project.db.job_queries import JobQueries
from project.db.job_transitions import JobTransitions
from project.db.usage import Usage
from project.errors import DatabaseUnavailable
from project.jobs.consumer import WorkerBroker, make_broker
from project.jobs.execution import JobExecutor, ModelHost
from project.jobs.outcomes import OutcomeRecorder
from project.jobs.queue import ACTOR, JobQueue
from project.jobs.sweep import Sweep
from project.jobs.user_jobs import UserJobs
from project.models.base import AnyModel
from project.observability import metrics, multiprocess, sentry
from project.observability.logging import configure_logging
from project.observability.process import watch_process
from project.observability.tracing import make_provider
from project.processes.parent_death import end_with_parent
from project.settings import Settings
from project.storage import make_storage

T = TypeVar("T")
CLOSE_SECONDS = 3.0  # after WORKER_SHUTDOWN_SECONDS, to flush traces and Sentry
NOT_STARTED = 70  # EX_SOFTWARE of <sysexits.h>
LOOP_START_SECONDS = 30.0  # Dramatiq's default is 1 s, which a busy machine may exceed


class WorkerProcess(AsyncIO):
    """Starts the event loop, opens the resources, runs jobs, closes the resources."""

    def __init__(self, settings: Settings, models: Sequence[AnyModel]) -> None:
        super().__init__()
        self._settings = settings
        self._models = models
        self._resources = AsyncExitStack()
        self._executor: JobExecutor | None = None
        self._loop: EventLoopThread | None = None

    async def run(self, job_id: str) -> None:
        """Run a job; the actor of the queue."""
        if self._executor is None:
            raise RuntimeError("the worker process is not open")
        try:
            await self._executor.run(job_id)
        except DatabaseUnavailable:  # while the worker drains; a sweep finds the job
            logger.bind(job_id=job_id).warning("job_left")

    def before_worker_boot(self, _broker: dramatiq.Broker, _worker: Worker) -> None:
        """Load the models and connect to the database, the storage and the broker.

        An error ends the process, and the supervisor starts another: Dramatiq would go on and
        discard message after message.
        """
        _end_with_main_process()
        _ignore_second_sigterm()
        try:
            self._loop = EventLoopThread(self.logger)
            self._loop.start(timeout=LOOP_START_SECONDS)
            set_event_loop_thread(self._loop)
            self._on_loop(self._start())
        except BaseException as error:  # noqa: BLE001 - see the docstring
            logger.opt(exception=error).critical("worker_not_started")
            sentry.close()
            os._exit(NOT_STARTED)

    def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: Worker) -> None:
        """Release the current job; a timer ends the process if something blocks its shutdown."""
        timeout = self._settings.worker_shutdown_seconds + CLOSE_SECONDS
        timer = threading.Timer(timeout, os._exit, [1])
        timer.daemon = True
        timer.start()
        self._on_loop(self._drain())

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:
        """Close the resources, then the event loop."""
        self._on_loop(self._resources.aclose())
        super().after_worker_shutdown(broker, worker)  # type: ignore[no-untyped-call]

    def _on_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            raise RuntimeError("the event loop has not started")
        return self._loop.run_coroutine(coroutine)

    async def _drain(self) -> None:
        if self._executor:
            self._executor.drain()

    async def _start(self) -> None:
        settings, stack = self._settings, self._resources
        configure_logging(settings)
        sentry.configure_sentry(settings)
        stack.push_async_callback(asyncio.to_thread, sentry.close)
        provider = make_provider(settings)
        if provider:
            stack.push_async_callback(asyncio.to_thread, provider.shutdown)
        stack.callback(logger.info, "worker_stopped")
        await stack.enter_async_context(watch_process(settings.revision))
        engine = await stack.enter_async_context(open_database(settings))
        queries, transitions = JobQueries(engine), JobTransitions(engine)
        models = await stack.enter_async_context(ModelHost(self._models, settings))
        storage = make_storage(settings)
        queue = JobQueue.of(settings)
        stack.callback(queue.close)
        user_jobs = UserJobs.of(settings, queries, transitions, Usage(engine), queue)
        outcomes = OutcomeRecorder(settings, queries, transitions, queue, user_jobs)
        self._executor = JobExecutor(settings, transitions, storage, models, outcomes, provider)
        sweep = Sweep(settings, queries, transitions, storage, queue, user_jobs)
        for loop in (sweep.resend_forever(), sweep.delete_files_forever()):
            stack.callback(asyncio.create_task(loop).cancel)
        logger.info("worker_ready")


def _end_with_main_process() -> None:
    """Kill this process when Dramatiq's main process dies; the lease of its job lapses."""
    main = multiprocessing.parent_process()
    if main and main.pid:
        end_with_parent(main.pid, signal.SIGKILL)


def _ignore_second_sigterm() -> None:
    """Ignore every SIGTERM but the first: Dramatiq exits at the second without releasing its job.

    honcho and systemd signal the whole process group, and Dramatiq's main process forwards its own.
    """
    first = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if callable(first):
            first(number, frame)

    signal.signal(signal.SIGTERM, stop)


class DramatiqMetrics(Prometheus):
    """Dramatiq's metrics in this process's metric files; jobs/metrics_server.py serves them."""

    forks: Sequence[object] = ()  # Dramatiq's own exposition server does not start

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        """Create the series of each queue and its actor with the value 0."""
        super().after_process_boot(broker)  # type: ignore[no-untyped-call]
        for metric in (
            self.total_messages,
            self.total_errored_messages,
            self.total_retried_messages,
            self.total_rejected_messages,
            self.inprogress_messages,
            self.message_durations,
        ):
            for queue in broker.get_declared_queues():
                metric.labels(queue, ACTOR)

    def before_delay_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        """Count nothing: if another process runs the message, this gauge would never fall."""


def create_broker(settings: Settings, models: Sequence[AnyModel]) -> WorkerBroker:
    """The broker of a worker process. models: those whose queues it takes."""
    multiprocess.identify(str(settings.worker_slot))
    if settings.prometheus_multiproc_dir:
        directory = settings.prometheus_multiproc_dir
        multiprocess.prepare(directory, str(settings.worker_slot), metrics.gauge_modes())
    metrics.declare(jobs=settings.models, attempts=settings.models)  # it sweeps the jobs of all
    process = WorkerProcess(settings, models)
    broker = make_broker(settings, [DramatiqMetrics(), process])
    for model in models:
        broker.declare_queue(model.name)
    dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=models[0].name)(process.run)
    return broker
