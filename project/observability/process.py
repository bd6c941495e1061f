"""Process metrics of a worker: memory, processor time, threads and the lag of the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from project import __version__
from project.observability.metrics import (
    APP_INFO,
    LOOP_LAG,
    MEMORY_LIMIT,
    WORKER_CPU,
    WORKER_MEMORY,
    WORKER_MEMORY_MAX,
    WORKER_THREADS,
    WORKERS,
)
from project.resources import read_resources

LAG_INTERVAL_SECONDS = 0.25
SAMPLE_EVERY = 20  # lag intervals: 5 s


@asynccontextmanager
async def watch_process(revision: str) -> AsyncIterator[None]:
    """Update the process metrics while the body runs."""
    APP_INFO.labels(__version__, revision).set(1)
    WORKERS.set(1)
    MEMORY_LIMIT.set(read_resources().memory_bytes)
    task = asyncio.create_task(_watch())
    try:
        yield
    finally:
        task.cancel()


async def _watch() -> None:
    process = psutil.Process()
    counted = 0.0
    ticks = 0
    while True:
        if ticks % SAMPLE_EVERY == 0:
            counted = _sample(process, counted)
        ticks += 1
        before = time.perf_counter()
        await asyncio.sleep(LAG_INTERVAL_SECONDS)
        LOOP_LAG.observe(max(0.0, time.perf_counter() - before - LAG_INTERVAL_SECONDS))


def _sample(process: psutil.Process, counted: float) -> float:
    """Measure the process once, and return the processor seconds counted so far."""
    with process.oneshot():
        resident = process.memory_info().rss
        times = process.cpu_times()
        WORKER_THREADS.set(process.num_threads())
    WORKER_MEMORY.set(resident)
    WORKER_MEMORY_MAX.set(resident)
    used = times.user + times.system
    WORKER_CPU.inc(max(0.0, used - counted))
    return used
