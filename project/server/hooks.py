"""Gunicorn's hooks: who counts where, why a worker ended, what was lost, and what a reload is.

They run in the arbiter, one at a time, except `post_fork`, which runs in the new worker.
"""

import os
import signal
import struct
from collections.abc import Callable
from dataclasses import asdict
from types import FrameType
from typing import Any

from loguru import logger

from project.observability import metrics, multiprocess, slots
from project.observability.logging import configure_logging
from project.resources import read_resources, size
from project.server import shared
from project.settings.loading import load_settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def on_starting(_server: Any) -> None:
    """Keep others from emptying the folder that this server counts in; say what was chosen."""
    slots.share(metrics_directory())
    settings, machine = load_settings(), read_resources()
    logger.bind(
        processors=machine.processors,
        memory_bytes=machine.memory_bytes,
        **asdict(size(settings, machine)),
        threads_in_each_stream=settings.inference_threads,
        queue_limit=settings.queue_limit,
        models=settings.models,
    ).info("server_starting")


def nworkers_changed(_server: Any, new: int, _old: int | None) -> None:
    """Say how many workers there should be."""
    metrics.WORKERS_EXPECTED.set(new)


def on_reload(_server: Any) -> None:
    """Begin a new generation before the old workers are told to go."""
    shared.begin_generation()


def when_ready(server: Any) -> None:
    """Watch how workers end, which Gunicorn does not tell `child_exit`, and when all is to end."""
    for reason in metrics.EXITS:
        metrics.WORKER_EXITS.labels(reason)

    def note_statuses() -> None:
        for pid, worker in list(server.WORKERS.items()):
            worker.ended = _peek(pid) or worker.ended

    def note_stop() -> None:
        if os.getpid() == server.pid:  # not in a worker that has the handler for a moment yet
            shared.mark_stopping()

    _before(signal.SIGCHLD, note_statuses)
    for number in STOP_SIGNALS:
        _before(number, note_stop)


def _before(number: int, note: Callable[[], None]) -> None:
    """Have `note` called before Gunicorn's own handler of a signal."""
    handle = signal.getsignal(number)

    def noting(received: int, frame: FrameType | None) -> None:
        note()
        if callable(handle):
            handle(received, frame)

    signal.signal(number, noting)


def _peek(pid: int) -> os.waitid_result | None:
    """How a child ended, leaving it to be reaped; None while it lives."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13: every end but a time-out is a crash
        return None
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def pre_fork(_server: Any, worker: Any) -> None:
    """Give the coming worker its slot and whole metric files."""
    directory = metrics_directory()
    worker.slot = slots.take(directory)
    multiprocess.prepare(directory, worker.slot.identity, metrics.gauge_modes())
    multiprocess.identify_child(worker.slot.identity)
    shared.expect(worker.slot.number)
    worker.generation = shared.generation()
    worker.ended = None


def post_fork(server: Any, _worker: Any) -> None:
    """In the worker: drop the siblings' slots, log for itself."""
    for sibling in server.WORKERS.values():
        sibling.slot.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    configure_logging(load_settings())


def child_exit(_server: Any, worker: Any) -> None:
    """Count how the worker ended and what died with it; forget it alive, free its slot."""
    reason = exit_reason(worker)
    metrics.WORKER_EXITS.labels(reason).inc()
    directory, identity = metrics_directory(), worker.slot.identity
    if reason != "clean":
        _count_lost(directory, identity)
    multiprocess.forget_live_gauges(directory, identity)
    shared.forget(worker.slot.number)
    worker.slot.close()


def _count_lost(directory: Any, identity: str) -> None:
    """Count the requests that a worker had in hand: they are in no other metric.

    Whatever is wrong with its files, the arbiter lives on.
    """
    try:
        lost = multiprocess.live_sum(directory, identity, "http_requests_inprogress")
    except (OSError, RuntimeError, ValueError, struct.error) as error:
        logger.bind(reason=str(error)).error("lost_requests_not_counted")
        return
    metrics.HTTP_LOST.inc(lost)


def exit_reason(worker: Any) -> str:
    """One of metrics.EXITS. Only `aborted` tells a time-out, which ends with a signal as well."""
    if worker.aborted:
        return "timeout"
    ended: os.waitid_result | None = worker.ended
    if ended is None:
        return "crash"
    if ended.si_code == os.CLD_EXITED:
        return "clean" if ended.si_status == 0 else "crash"
    if ended.si_status in STOP_SIGNALS:
        return "clean"
    return "killed" if ended.si_status == signal.SIGKILL else "crash"


def on_exit(server: Any) -> None:
    """Leave no gauge of a living process behind, not even of a worker killed at the last."""
    directory = metrics_directory()
    for worker in server.WORKERS.values():
        multiprocess.forget_live_gauges(directory, worker.slot.identity)
    multiprocess.forget_live_gauges(directory, multiprocess.MAIN)


def metrics_directory() -> Any:
    """The folder of metric files; gunicorn.conf.py has made sure that there is one."""
    return load_settings().prometheus_multiproc_dir
