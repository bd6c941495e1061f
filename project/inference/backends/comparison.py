"""Compares a backend with torch: the outputs of `forward` for the sample inputs of a model."""

from typing import Any

import numpy as np

from project.errors import BackendUnavailable
from project.inference.samples import sample_inputs, sample_params
from project.models.base import Array, BatchModel

TOLERANCE = 0.03  # of the largest magnitude that torch gives; bf16 rounds each step to 0.4 %


def sample_arrays(model: BatchModel[Any, Any, Any]) -> Array:
    """The preprocessed samples: (n, …). Raises what `preprocess` raises."""
    params = sample_params(model)
    return np.stack([model.preprocess(inputs, params) for inputs in sample_inputs(model)])


def outputs_for(model: BatchModel[Any, Any, Any], samples: Array) -> Array:
    """The outputs for all samples in one batch, then for each sample alone: (2n, …)."""
    together = [np.asarray(item, dtype=np.float64) for item in model.forward(samples)]
    alone = [np.asarray(model.forward(one[np.newaxis])[0], dtype=np.float64) for one in samples]
    return np.stack([*together, *alone])


def check_outputs(expected: Array, given: Array) -> None:
    """Raise BackendUnavailable where outputs differ by more than TOLERANCE, or in the top class.

    expected, given: (n, …) outputs of torch and of the backend for n samples. The top class of a
    row counts where torch prefers it by more than the tolerance.
    """
    if expected.shape != given.shape:
        raise BackendUnavailable(f"gives {given.shape} where torch gives {expected.shape}")
    bound = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    largest = float(np.abs(expected - given).max())
    if not largest <= bound:
        raise BackendUnavailable(f"differs from torch by {largest:.3g}, more than {bound:.3g}")
    if expected.ndim == 2 and expected.shape[1] > 1:  # noqa: PLR2004 - rows of scores
        ranked = np.sort(expected, axis=1)
        clear = ranked[:, -1] - ranked[:, -2] > bound
        if (expected.argmax(axis=1) != given.argmax(axis=1))[clear].any():
            raise BackendUnavailable("prefers another class than torch")
