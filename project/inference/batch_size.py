"""Chooses a net's batch size: the number of inputs that makes it fastest, measured at load.

Larger batches are faster on an accelerator and with most compiled nets; torch as it is can be
slower with eight pictures than with one, as what flows between the layers leaves the caches.

Other workers load at the same time. A forward pass that shares processors is interrupted the more
often the longer it runs, so by the clock large batches look slow. A net that runs on the processors
is therefore judged by its processor time, and only one that runs elsewhere by the clock.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from loguru import logger

from project.models.base import Array, BatchModel

ROUNDS = 4  # over all sizes, as the machine may be busy at times; the first one prepares the net
GAIN = 0.97  # of the time for a picture; less is noise, and a larger batch answers later
MAX_SECONDS = 2.0  # for all rounds; a slow net is judged by what is known by then
PROCESSOR_SHARE = 0.25  # of the clock's time; a net with more processor time runs on the processors

Clock = Callable[[], float]
Seconds = tuple[float, float]  # for a picture: by the clock, and of the processors


def fastest_batch(
    model: BatchModel[Any, Any, Any],
    sample: Array,
    *,
    clock: Clock = time.perf_counter,
    processor_clock: Clock = time.process_time,
) -> int:
    """The smallest batch size, of 1, 2, 4 … up to the model's largest, that is as fast as any.

    sample: one preprocessed picture. clock, processor_clock: seconds. Raises what the model raises
    for a single picture.
    """

    def measure(size: int) -> Seconds:
        batch = np.repeat(sample[np.newaxis], size, axis=0)
        started, processor_started = clock(), processor_clock()
        model.forward(batch)
        return (clock() - started) / size, (processor_clock() - processor_started) / size

    began = clock()
    largest = model.max_batch
    measured: dict[int, list[Seconds]] = {1: [measure(1)]}
    for _ in range(ROUNDS):
        size = 1
        while size <= largest and clock() - began < MAX_SECONDS:
            try:
                seconds = measure(size)
            except Exception as error:  # noqa: BLE001 - too large for the net or for memory
                logger.bind(model=model.name, size=size, reason=str(error)[:300]).warning(
                    "batch_size_passed_over"
                )
                largest = size - 1
            else:
                measured.setdefault(size, []).append(seconds)
            size *= 2
    best = _best_seconds(measured)
    fast_enough = min(best.values()) / GAIN
    return min(size for size, seconds in best.items() if seconds <= fast_enough)


def _best_seconds(measured: dict[int, list[Seconds]]) -> dict[int, float]:
    """Batch size → the least seconds for a picture, of the clock that counts for this net."""
    by_clock, of_processors = (
        {size: min(pair[kind] for pair in pairs) for size, pairs in measured.items()}
        for kind in (0, 1)
    )
    on_processors = sum(of_processors.values()) > PROCESSOR_SHARE * sum(by_clock.values())
    return of_processors if on_processors else by_clock
