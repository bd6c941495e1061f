"""Gunicorn's hooks: who counts where, why a worker ended, and what a reload is.

They run in the arbiter, one at a time, except `post_fork`, which runs in the new worker.
"""

import mmap
import os
import signal
from types import FrameType
from typing import Any

from project.observability import metrics, multiprocess
from project.observability.logging import configure_logging
from project.server import slots
from project.settings import load_settings

CLEAN_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}

_generation = mmap.mmap(-1, 1)  # shared with the workers: how many reloads, modulo 256


def generation() -> int:
    """The number of reloads so far; a worker of an older one is being replaced, not shut down."""
    return _generation[0]


def on_starting(_server: Any) -> None:
    """Keep others from emptying the folder that this server counts in."""
    slots.share(metrics_directory())


def nworkers_changed(_server: Any, new: int, _old: int | None) -> None:
    """Say how many workers there should be."""
    metrics.WORKERS_EXPECTED.set(new)


def on_reload(_server: Any) -> None:
    """Begin a new generation before the old workers are told to go."""
    _generation[0] = (_generation[0] + 1) % 256


def when_ready(server: Any) -> None:
    """Watch how workers end: Gunicorn reaps the status before `child_exit` could ask for it."""
    for reason in metrics.EXITS:
        metrics.WORKER_EXITS.labels(reason)
    queue_signal = signal.getsignal(signal.SIGCHLD)

    def note_statuses(number: int, frame: FrameType | None) -> None:
        for pid, worker in list(server.WORKERS.items()):
            ended = _peek(pid)
            if ended is not None:
                worker.ended = ended
        if callable(queue_signal):
            queue_signal(number, frame)

    signal.signal(signal.SIGCHLD, note_statuses)


def _peek(pid: int) -> os.waitid_result | None:
    """How a child ended, leaving it to be reaped; None while it lives."""
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
    worker.generation = generation()
    worker.ended = None


def post_fork(server: Any, _worker: Any) -> None:
    """In the worker: drop the siblings' slots, log for itself."""
    for sibling in server.WORKERS.values():
        sibling.slot.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    configure_logging(load_settings())


def child_exit(_server: Any, worker: Any) -> None:
    """Count how the worker ended, forget what was true of it alive, free its slot."""
    metrics.WORKER_EXITS.labels(exit_reason(worker)).inc()
    multiprocess.forget_live_gauges(metrics_directory(), worker.slot.identity)
    worker.slot.close()


def exit_reason(worker: Any) -> str:
    """One of metrics.EXITS. Only `aborted` tells a time-out, which ends with a signal as well."""
    if worker.aborted:
        return "timeout"
    ended: os.waitid_result | None = worker.ended
    if ended is None:
        return "crash"
    if ended.si_code == os.CLD_EXITED:
        return "clean" if ended.si_status == 0 else "crash"
    if ended.si_status in CLEAN_SIGNALS:
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
