"""Selects the backend of a model's nets: the fastest executable that gives torch's outputs.

In this order: CUDA; OpenVINO in bf16 where the processor has it, then in f32; frozen TorchScript;
torch as it is. Each is compared with torch on sample inputs before it may serve. One that is not
installed, crashes or gives other outputs is passed over, with a warning and a count. Torch is
imported only where a net is built in this process.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger

from project.errors import BackendUnavailable
from project.inference.backends import openvino
from project.inference.backends.compiled import (
    Convert,
    compiled_nets,
    convert_in_child,
    is_hashable,
    key_of,
)
from project.inference.backends.nets import (
    build_modules,
    check_all,
    has_nets,
    outputs_of,
    samples_of,
)
from project.models.base import BatchModel
from project.observability import metrics

AUTO = "auto"
CUDA_DEVICE = Path("/dev/nvidiactl")
MAX_REASON = 300


def prepare_net(
    model: BatchModel[Any, Any, Any],
    wanted: str,
    *,
    streams: int,
    cache: Path,
    convert: Convert = convert_in_child,
    cuda_device: Path = CUDA_DEVICE,
) -> str:
    """Set `model.net`, or `nets`, to the fastest executable; its name is in `model.backend`.

    wanted: `auto`, or the one family that may be tried. streams: forward passes at a time. cache:
    folder of compiled nets. convert: see convert_in_child. cuda_device: exists where a GPU is.
    Returns where the net is from, for the log: `cache`, `child`, or `worker`, which has imported
    torch; `model` where the model runs a net of its own. Raises what `build_net` or `build_nets`
    raises.
    """
    if not has_nets(model):
        return "model"
    modules = None
    if _wants(wanted, "cuda") and cuda_device.exists():
        modules = build_modules(model)
        if _by_torch(model, modules, "cuda") == "cuda":
            return "worker"
    if wanted == AUTO or wanted.startswith("openvino"):
        try:
            return _by_openvino(model, modules, wanted, streams, cache, convert)
        except BackendUnavailable as error:
            reason = error.detail[:MAX_REASON]
            logger.bind(model=model.name, reason=reason).warning("no_compiled_net")
    modules = modules or build_modules(model)
    _by_torch(model, modules, "torchscript" if _wants(wanted, "torchscript") else None)
    return "worker"


def _wants(wanted: str, backend: str) -> bool:
    """Whether a backend is of the family that is wanted, such as openvino-f32 of openvino."""
    return wanted in {AUTO, backend, backend.partition("-")[0]}


def _by_openvino(
    model: BatchModel[Any, Any, Any],
    modules: Mapping[str, Any] | None,
    wanted: str,
    streams: int,
    cache: Path,
    convert: Convert,
) -> str:
    """Serve the compiled nets. Raises BackendUnavailable where there are none that are equal."""
    possible = openvino.precisions(model.precisions)
    precisions = [it for it in possible if _wants(wanted, f"openvino-{it}")]
    try:
        samples = samples_of(model)
    except Exception as error:
        raise BackendUnavailable(f"the samples cannot be preprocessed: {error}") from error
    state = ""
    if not is_hashable(model):
        from project.inference.backends.eager import state_of  # noqa: PLC0415 - imports torch

        state = state_of(modules or build_modules(model))
    compiled = compiled_nets(model, key_of(model, samples, state), cache, convert)
    for precision in precisions:
        backend = f"openvino-{precision}"
        if precision not in compiled.nets:
            reason = compiled.refused.get(precision, "it was not compiled for this precision")
            _pass_over(model.name, backend, reason)
            continue
        try:
            nets = {
                name: openvino.shared_net(net, precision, streams)
                for name, net in compiled.nets[precision].items()
            }
            check_all(compiled.expected, outputs_of(model, nets, samples))
        except Exception as error:  # noqa: BLE001 - a backend may raise anything
            _pass_over(model.name, backend, str(error))
        else:
            model.backend = backend
            return "child" if compiled.converted else "cache"
    raise BackendUnavailable("no compiled net has the outputs of torch")


def _by_torch(
    model: BatchModel[Any, Any, Any], modules: Mapping[str, Any], faster: str | None
) -> str:
    from project.inference.backends import eager  # noqa: PLC0415 - imports torch

    ways = {faster: eager.FASTER[faster]} if faster else {}
    return eager.run_by_torch(model, modules, ways, partial(_pass_over, model.name))


def _pass_over(model: str, backend: str, reason: str) -> None:
    metrics.BACKEND_FAILURES.labels(model, backend).inc()
    log = logger.bind(model=model, backend=backend, reason=reason[:MAX_REASON])
    log.warning("backend_passed_over")


def limit_torch_threads(threads: int) -> None:
    """Set the number of torch's threads in a forward pass, where something has imported torch."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
