"""Selects the backend of a net: the fastest executable that gives torch's outputs.

Candidates, fastest first: CUDA; OpenVINO in bf16 where the processor has it, then in f32; frozen,
channels-last TorchScript; torch as it is. Each is compared with torch on sample pictures before it
may serve. One that is not installed, crashes or gives other outputs is passed over, with a warning
and a count.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger
from PIL import Image
from torch import Tensor, nn

from project.errors import BackendUnavailable
from project.inference.backends import torchscript
from project.inference.backends.openvino import (
    Convert,
    OpenVINONet,
    compiled_net,
    convert_in_child,
    precisions,
)
from project.models.base import Array, Model
from project.observability import metrics

TORCH = "torch"
TOLERANCE = 0.03  # of the largest magnitude that torch gives; bf16 rounds each step to 0.4 %
SAMPLE_SIDE = 256

Executable = Callable[[Tensor], Any]
Candidate = tuple[str, Callable[[], Executable]]  # the backend's name, and what makes it
Candidates = Callable[[nn.Module, Tensor, int, Path], Iterable[Candidate]]


def backend_candidates(
    net: nn.Module,
    samples: Tensor,
    streams: int,
    cache: Path,
    *,
    convert: Convert = convert_in_child,
) -> Iterator[Candidate]:
    """The backends that this machine may run a net with, fastest first.

    samples: (n, …) inputs to trace the net with. convert: converts a traced net for OpenVINO.
    """
    if torch.cuda.is_available():
        yield "cuda", lambda: _on_cuda(net)
    traced = _trace(net, samples)
    if traced is None:
        return
    try:
        known = precisions()
    except Exception as error:  # noqa: BLE001 - not installed, or not for this machine
        logger.bind(reason=str(error)).info("openvino_not_available")
        known = []

    def compiled(precision: str) -> Executable:
        net = compiled_net(traced, samples, precision, cache, convert=convert)
        return OpenVINONet(net, precision, streams)

    for precision in known:
        yield f"openvino-{precision}", partial(compiled, precision)
    yield "torchscript", lambda: torchscript.frozen(traced)


def accelerate(
    model: Model[Any, Any],
    wanted: str,
    *,
    streams: int,
    cache: Path,
    candidates: Candidates = backend_candidates,
) -> None:
    """Replace `model.net` by the fastest equal executable; its name is in `model.backend`.

    wanted: `auto`, or the one family that may be tried. streams: forward passes at a time. cache:
    folder of converted nets. A model without a torch module in `net`, or whose outputs for the
    samples cannot be compared, stays as it is. Never raises.
    """
    net = getattr(model, "net", None)
    if not isinstance(net, nn.Module) or wanted == TORCH:
        return
    try:
        samples = _samples(model)
        with _recording_inputs(net) as inputs:
            expected = _outputs(model, samples)
        (first, *_) = inputs  # the net is traced with what `forward` makes of all samples
    except Exception as error:  # noqa: BLE001 - a rejection, outputs that are no numbers, no call
        logger.bind(model=model.name, reason=str(error)[:300]).info("backend_cannot_be_compared")
        return
    for name, make in candidates(net, first, streams, cache):
        if wanted != "auto" and not name.startswith(wanted):
            continue
        try:
            model.net = make()  # type: ignore[attr-defined]
            check_outputs(expected, _outputs(model, samples))
        except Exception as error:  # noqa: BLE001 - a backend may raise anything
            model.net = net  # type: ignore[attr-defined]
            metrics.BACKEND_FAILURES.labels(model.name, name).inc()
            log = logger.bind(model=model.name, backend=name, reason=str(error)[:300])
            log.warning("backend_passed_over")
        else:
            model.backend = name
            return


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


def _trace(net: nn.Module, samples: Tensor) -> torch.jit.ScriptModule | None:
    """The net as a graph, or None where its control flow depends on the data."""
    try:
        return torchscript.trace(net, samples)
    except Exception as error:  # noqa: BLE001 - a net's forward may raise anything
        logger.bind(reason=str(error)[:300]).warning("net_cannot_be_traced")
        return None


def _on_cuda(net: nn.Module) -> Executable:
    moved = copy.deepcopy(net).to("cuda")  # the original must remain, should this one fail
    return lambda batch: moved(batch.to("cuda")).to("cpu")


@contextmanager
def _recording_inputs(net: nn.Module) -> Iterator[list[Tensor]]:
    """Record the tensor of each call of the net while the body runs."""
    inputs: list[Tensor] = []

    def record(_net: nn.Module, given: tuple[Any, ...]) -> None:
        (tensor,) = given  # a net with several inputs raises here, and stays as it is
        inputs.append(tensor.detach().clone())

    hook = net.register_forward_pre_hook(record)
    try:
        yield inputs
    finally:
        hook.remove()


def _samples(model: Model[Any, Any]) -> Array:
    """(4, …) preprocessed pictures: gradients, stripes and noise, the same at every start."""
    random = np.random.default_rng(7)
    ramp = np.linspace(0, 255, SAMPLE_SIDE)
    pixels = np.zeros((4, SAMPLE_SIDE, SAMPLE_SIDE, 3))
    pixels[0] = ramp[:, None, None]
    pixels[1, ..., 0], pixels[1, ..., 2] = ramp[None, :], ramp[:, None]
    pixels[2] = 255 * (np.arange(SAMPLE_SIDE) // 16 % 2)[None, :, None]
    pixels[3] = random.integers(0, 256, (16, 16, 3)).repeat(16, axis=0).repeat(16, axis=1)
    images = [Image.fromarray(item.astype(np.uint8)) for item in pixels]
    params = model.params()
    return np.stack([model.preprocess(image, params) for image in images])


def _outputs(model: Model[Any, Any], samples: Array) -> Array:
    """The outputs for all samples in one batch, then for each sample alone: (2n, …)."""
    together = [np.asarray(item, dtype=np.float64) for item in model.forward(samples)]
    alone = [np.asarray(model.forward(one[np.newaxis])[0], dtype=np.float64) for one in samples]
    return np.stack([*together, *alone])
