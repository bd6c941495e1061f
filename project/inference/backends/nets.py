"""The nets of a model: the one of `build_net`, or those of `build_nets` by their names."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from project.errors import BackendUnavailable
from project.inference.backends.comparison import check_outputs, outputs_for, sample_arrays
from project.models.base import Array, BatchModel, Net

ONLY = "net"  # the name of the net of `build_net`

AnyBatchModel: TypeAlias = BatchModel[Any, Any, Any]
Samples: TypeAlias = Mapping[str, Sequence[Array]]  # name of a net → what it is compared on
Outputs: TypeAlias = Mapping[str, Array]  # name of a net → what it gives for its samples


def has_nets(model: AnyBatchModel) -> bool:
    """Whether there is a net to prepare; else the model does its work by itself."""
    return _is_single(model) or bool(model.net_examples())


def build_modules(model: AnyBatchModel) -> dict[str, Any]:
    """Name → torch module. Imports torch; raises what the model raises."""
    return {ONLY: model.build_net()} if _is_single(model) else dict(model.build_nets())


def samples_of(model: AnyBatchModel) -> Samples:
    """Of a single net the preprocessed sample inputs; of a cascade the model's examples.

    Raises what the model raises.
    """
    return {ONLY: [sample_arrays(model)]} if _is_single(model) else model.net_examples()


def use(model: AnyBatchModel, nets: Mapping[str, Net]) -> None:
    """Have the model run these nets."""
    if _is_single(model):
        model.net = nets[ONLY]
    else:
        model.nets = nets


def outputs_of(model: AnyBatchModel, nets: Mapping[str, Net], samples: Samples) -> Outputs:
    """Have the model run these nets, and run them for the samples.

    A single net is judged by what `forward` returns. What a cascade returns may change as a whole
    by a hair, so each of its nets is judged by its own outputs.
    """
    use(model, nets)
    if _is_single(model):
        return {ONLY: outputs_for(model, samples[ONLY][0])}
    return {
        name: np.concatenate([np.asarray(nets[name](it), dtype=np.float64).ravel() for it in given])
        for name, given in samples.items()
    }


def check_all(expected: Outputs, given: Outputs) -> None:
    """Raise BackendUnavailable where a net differs from torch; see check_outputs."""
    if expected.keys() != given.keys():
        raise BackendUnavailable(f"has the nets {', '.join(given)}, not {', '.join(expected)}")
    for name, outputs in expected.items():
        try:
            check_outputs(outputs, given[name])
        except BackendUnavailable as error:
            prefix = "" if name == ONLY else f"{name} "
            raise BackendUnavailable(f"{prefix}{error.detail}") from error


def recorded_batches(
    model: AnyBatchModel, nets: Mapping[str, Net], samples: Samples
) -> tuple[Outputs, Samples]:
    """What the nets give for the samples, and the batches that each is called with."""
    batches: dict[str, list[Array]] = {name: [] for name in nets}

    def recording(name: str) -> Net:
        def run(batch: Array) -> Array:
            batches[name].append(batch.copy())
            return nets[name](batch)

        return run

    return outputs_of(model, {name: recording(name) for name in nets}, samples), batches


def _is_single(model: AnyBatchModel) -> bool:
    return type(model).build_net is not BatchModel.build_net
