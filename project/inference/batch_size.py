"""How many pictures to put through a net at a time: as many as make it fastest, measured at load.

Larger batches are faster on an accelerator and with most compiled nets; torch as it is can be
slower with eight pictures than with one, as what flows between the layers leaves the caches.

Other workers load at the same time. Who shares processors with them is held up the more often the
longer he runs, so by the clock large batches look slow. A net that runs on the processors is
therefore judged by the time that it had of them, and only one that runs elsewhere by the clock.
"""

import time
from typing import Any

import numpy as np
from loguru import logger

from project.models.base import Array, Model

TRIES = 4  # of all sizes in turn, as the machine may be busy at times; the first prepares the net
GAIN = 0.97  # of the time for a picture; less is noise, and a larger batch answers later
MAX_SECONDS = 2.0  # for all; a slow net is left with what is known by then
BUSY = 0.25  # of the clock's time: who has had that much of processors runs on them

Seconds = tuple[float, float]  # by the clock, and of processors


def fastest_batch(model: Model[Any, Any], sample: Array) -> int:
    """The least batch size, of 1, 2, 4 … up to the model's largest, that is as fast as any.

    sample: one preprocessed picture. Raises what the model raises.
    """
    began = time.perf_counter()
    most = model.max_batch
    tries: dict[int, list[Seconds]] = {1: [_seconds(model, sample, 1)]}  # size → of one picture
    for _ in range(TRIES):
        size = 1
        while size <= most and time.perf_counter() - began < MAX_SECONDS:
            try:
                tries.setdefault(size, []).append(_seconds(model, sample, size))
            except Exception as error:  # noqa: BLE001 - too large for the net or for memory
                logger.bind(model=model.name, size=size, reason=str(error)[:300]).warning(
                    "batch_size_passed_over"
                )
                most = size - 1
            size *= 2
    least = _least(tries)
    fast_enough = min(least.values()) / GAIN
    return min(size for size, seconds in least.items() if seconds <= fast_enough)


def _least(tries: dict[int, list[Seconds]]) -> dict[int, float]:
    """The least time for a picture at each size, of the kind that counts."""
    clock, processors = (
        {size: min(pair[kind] for pair in pairs) for size, pairs in tries.items()}
        for kind in (0, 1)
    )
    return processors if sum(processors.values()) > BUSY * sum(clock.values()) else clock


def _seconds(model: Model[Any, Any], sample: Array, size: int) -> Seconds:
    """What a picture takes in a batch of that size, now."""
    batch = np.repeat(sample[np.newaxis], size, axis=0)
    clock, processors = time.perf_counter(), time.process_time()
    model.forward(batch)
    return (time.perf_counter() - clock) / size, (time.process_time() - processors) / size
