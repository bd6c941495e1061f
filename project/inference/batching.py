"""How many pictures to put through a net at a time: as many as make it fastest, measured at load.

Larger batches are faster on an accelerator and with most compiled nets; torch as it is can be
slower with eight pictures than with one, as what flows between the layers leaves the caches.
"""

import time
from typing import Any

import numpy as np

from project.models._base import Array, Model

TRIES = 3  # the first of them may prepare the net for that size
GAIN = 0.97  # of the time for a picture; less is noise, and a larger batch answers later
MOST_SECONDS = 2.0  # for all; a slow net is left at the size reached by then


def fastest_batch(model: Model[Any, Any], sample: Array) -> int:
    """The batch size, of 1, 2, 4 … up to the model's largest, with the least time for a picture.

    sample: one preprocessed picture. Raises what the model raises.
    """
    began = time.perf_counter()
    best, least = 1, _seconds(model, sample, 1)
    size = 2
    while size <= model.max_batch and time.perf_counter() - began < MOST_SECONDS:
        seconds = _seconds(model, sample, size)
        if seconds > GAIN * least:
            break
        best, least = size, seconds
        size *= 2
    return best


def _seconds(model: Model[Any, Any], sample: Array, size: int) -> float:
    """What a picture takes in a batch of that size."""
    batch = np.repeat(sample[np.newaxis], size, axis=0)
    took = []
    for _ in range(TRIES):
        before = time.perf_counter()
        model.forward(batch)
        took.append(time.perf_counter() - before)
    return min(took) / size
