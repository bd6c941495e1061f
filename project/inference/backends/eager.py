"""Runs a model's nets by torch, in this process: where nothing compiled is equal, or on a GPU."""

import copy
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from loguru import logger

from project.inference.backends import torchscript
from project.inference.backends.nets import (
    check_all,
    outputs_of,
    recorded_batches,
    samples_of,
    use,
)
from project.models.base import Array, BatchModel, Net

TORCH = "torch"

Make = Callable[[torch.nn.Module, Array], Net]  # from a module and a batch that it is called with


def as_function(module: Callable[[torch.Tensor], Any], device: str = "cpu") -> Net:
    """A module as a function from arrays to arrays."""

    def run(batch: Array) -> Array:
        with torch.inference_mode():
            output = module(torch.from_numpy(np.ascontiguousarray(batch)).to(device))
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"build_net: the net returns a {type(output).__name__}, not a tensor")
        return output.cpu().numpy()

    return run


def on_cuda(module: torch.nn.Module, _example: Array) -> Net:
    """The net on the GPU."""
    moved = copy.deepcopy(module).to("cuda")  # the original must remain, should this one fail
    return as_function(moved, "cuda")


def frozen(module: torch.nn.Module, example: Array) -> Net:
    """The net as optimised TorchScript."""
    return as_function(torchscript.frozen(torchscript.trace(module, torch.from_numpy(example))))


FASTER: Mapping[str, Make] = {"cuda": on_cuda, "torchscript": frozen}


def state_of(modules: Mapping[str, torch.nn.Module]) -> str:
    """The hash of the weights of nets."""
    digest = hashlib.sha256()
    for module in modules.values():
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def run_by_torch(
    model: BatchModel[Any, Any, Any],
    modules: Mapping[str, torch.nn.Module],
    faster: Mapping[str, Make],
    passed_over: Callable[[str, str], None],
) -> str:
    """Set the model's nets: the first faster ones whose outputs are equal, else torch as it is.

    modules: name of a net → the module. passed_over: called with the name of a way that cannot
    serve, and the reason. Returns the name of the backend, which is in `model.backend` too. A model
    whose outputs cannot be compared is run by torch as it is.
    """
    plain = {name: as_function(module) for name, module in modules.items()}
    use(model, plain)
    model.backend = TORCH
    if not faster:
        return TORCH
    try:
        samples = samples_of(model)
        expected, batches = recorded_batches(model, plain, samples)
        first = {name: given[0] for name, given in batches.items()}
    except Exception as error:  # noqa: BLE001 - a rejection, outputs that are no numbers, no call
        use(model, plain)
        logger.bind(model=model.name, reason=str(error)[:300]).info("backend_cannot_be_compared")
        return TORCH
    for name, make in faster.items():
        try:
            nets = {it: make(module, first[it]) for it, module in modules.items()}
            check_all(expected, outputs_of(model, nets, samples))
        except Exception as error:  # noqa: BLE001 - a backend may raise anything
            passed_over(name, str(error))
        else:
            model.backend = name
            return name
    use(model, plain)
    return TORCH
