"""Gunicorn's hooks: worker slots, exit reasons, lost requests, and the generations of reloads.

They run in the arbiter, one at a time, except `post_fork`, which runs in the new worker.
"""

import gc
import os
import signal
import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, cast

from loguru import logger

from project.observability import metrics, multiprocess, worker_slots
from project.observability.logging import configure_logging
from project.resources import read_resources, size
from project.server import shared
from project.settings.loading import load_settings
from project.settings.misspelt import log_misspelt_settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def on_starting(_server: Any) -> None:
    """Mark the metrics folder as in use, so that no other start empties it; log the sizing.

    It also warns of settings that are misspelt, as `on_reload` does.
    """
    worker_slots.mark_in_use(metrics_directory())
    settings, resources = load_settings(), read_resources()
    logger.bind(
        processors=resources.processors,
        memory_bytes=resources.memory_bytes,
        **asdict(size(settings, resources)),
        threads_in_each_stream=settings.inference_threads,
        queue_limit=settings.queue_limit,
        models=settings.models,
    ).info("server_starting")
    log_misspelt_settings()


def nworkers_changed(_server: Any, new: int, _old: int | None) -> None:
    """Set the gauge of how many workers there should be."""
    metrics.WORKERS_EXPECTED.set(new)


def on_reload(_server: Any) -> None:
    """Begin a new generation before Gunicorn stops the old workers."""
    shared.begin_generation()
    log_misspelt_settings()


def when_ready(server: Any) -> None:
    """Record how workers end, which Gunicorn does not pass to `child_exit`, and the stop signal.

    The first worker is forked after it.
    """
    for reason in metrics.EXITS:
        metrics.WORKER_EXITS.labels(reason)

    def record_exits() -> None:
        for pid, worker in list(server.WORKERS.items()):
            worker.exit_status = _peek(pid) or worker.exit_status

    def record_stop() -> None:
        if os.getpid() == server.pid:  # not in a new worker, which has the handler for a moment
            shared.mark_stopping()

    gc.collect()
    gc.freeze()  # a collection in a worker would copy each page that it shares with the arbiter
    _call_before(signal.SIGCHLD, record_exits)
    for number in STOP_SIGNALS:
        _call_before(number, record_stop)


def _call_before(number: int, record: Callable[[], None]) -> None:
    """Have `record` called before Gunicorn's own handler of a signal."""
    handle = signal.getsignal(number)

    def record_and_handle(received: int, frame: FrameType | None) -> None:
        record()
        if callable(handle):
            handle(received, frame)

    signal.signal(number, record_and_handle)


def _peek(pid: int) -> os.waitid_result | None:
    """Return how a child ended, and leave it to be reaped; None while it runs."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13: every exit but a time-out is a crash
        return None
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def pre_fork(_server: Any, worker: Any) -> None:
    """Assign the new worker its slot, and create its metric files."""
    directory = metrics_directory()
    worker.slot = worker_slots.acquire(directory)
    multiprocess.prepare(directory, worker.slot.identity, metrics.gauge_modes())
    multiprocess.identify_child(worker.slot.identity)
    shared.register_slot(worker.slot.number)
    worker.generation = shared.generation()
    worker.exit_status = None


def post_fork(server: Any, _worker: Any) -> None:
    """In the worker: release the siblings' slots, and configure the log."""
    for sibling in server.WORKERS.values():
        sibling.slot.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    configure_logging(load_settings())


def child_exit(_server: Any, worker: Any) -> None:
    """Count how the worker ended and the requests it lost; drop its live gauges, free its slot."""
    reason = exit_reason(worker)
    metrics.WORKER_EXITS.labels(reason).inc()
    directory, identity = metrics_directory(), worker.slot.identity
    if reason != "clean":
        count_lost_requests(directory, identity)
    multiprocess.forget_live_gauges(directory, identity)
    shared.clear(worker.slot.number)
    worker.slot.close()


def count_lost_requests(directory: Path, identity: str) -> None:
    """Count the requests that a worker was serving when it died: they are in no other metric.

    No fault in its metric files ends the arbiter.
    """
    try:
        lost = multiprocess.live_sum(directory, identity, "http_requests_inprogress")
    except (OSError, RuntimeError, ValueError, struct.error) as error:
        logger.bind(reason=str(error)).error("lost_requests_not_counted")
        return
    metrics.HTTP_LOST.inc(lost)


def exit_reason(worker: Any) -> str:
    """Return one of metrics.EXITS. Only `aborted` marks a time-out, which ends by a signal too."""
    if worker.aborted:
        return "timeout"
    status: os.waitid_result | None = worker.exit_status
    if status is None:
        return "crash"
    if status.si_code == os.CLD_EXITED:
        return "clean" if status.si_status == 0 else "crash"
    if status.si_status in STOP_SIGNALS:
        return "clean"
    return "killed" if status.si_status == signal.SIGKILL else "crash"


def on_exit(server: Any) -> None:
    """Drop the live gauges of all processes, including those of workers killed at the end."""
    directory = metrics_directory()
    for worker in server.WORKERS.values():
        multiprocess.forget_live_gauges(directory, worker.slot.identity)
    multiprocess.forget_live_gauges(directory, multiprocess.MAIN)


def metrics_directory() -> Path:
    """Return the folder of metric files, without which gunicorn.conf.py does not start."""
    return cast("Path", load_settings().prometheus_multiproc_dir)
