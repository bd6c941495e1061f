"""How many pictures to put through a net at a time: as many as make it fastest, measured at load.

Larger batches are faster on an accelerator and with most compiled nets; torch as it is can be
slower with eight pictures than with one, as what flows between the layers leaves the caches.
"""

import time
from typing import Any

import numpy as np
from loguru import logger

from project.models._base import Array, Model

TRIES = 4  # of all sizes in turn, as the machine may be busy at times; the first prepares the net
GAIN = 0.97  # of the time for a picture; less is noise, and a larger batch answers later
MOST_SECONDS = 2.0  # for all; a slow net is left with what is known by then


def fastest_batch(model: Model[Any, Any], sample: Array) -> int:
    """The least batch size, of 1, 2, 4 … up to the model's largest, that is as fast as any.

    sample: one preprocessed picture. Raises what the model raises.
    """
    began = time.perf_counter()
    most = model.max_batch
    least = {1: _seconds(model, sample, 1)}  # size → the least time for a picture
    for _ in range(TRIES):
        size = 1
        while size <= most and time.perf_counter() - began < MOST_SECONDS:
            try:
                least[size] = min(least.get(size, np.inf), _seconds(model, sample, size))
            except Exception as error:  # noqa: BLE001 - too large for the net or for memory
                logger.bind(model=model.name, size=size, reason=str(error)[:300]).warning(
                    "batch_size_passed_over"
                )
                most = size - 1
            size *= 2
    fast_enough = min(least.values()) / GAIN
    return min(size for size, seconds in least.items() if seconds <= fast_enough)


def _seconds(model: Model[Any, Any], sample: Array, size: int) -> float:
    """What a picture takes in a batch of that size, now."""
    batch = np.repeat(sample[np.newaxis], size, axis=0)
    before = time.perf_counter()
    model.forward(batch)
    return (time.perf_counter() - before) / size
