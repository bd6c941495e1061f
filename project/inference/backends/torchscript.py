"""The TorchScript backend: a net as a graph, which OpenVINO reads and torch runs faster.

torch.jit is deprecated in favour of torch.export, whose graphs OpenVINO's reader takes only once in
a process and which would need a compiler to run; its warnings are silenced here and nowhere else.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

IMAGE_AXES = 4  # (n, c, h, w): the only shape with channels to put last


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.", DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield


def trace(net: nn.Module, samples: Tensor) -> torch.jit.ScriptModule:
    """The graph that the net runs for these samples. Raises what the net or the tracer raises."""
    with _without_warnings(), torch.inference_mode():
        return torch.jit.trace(net, (samples,), check_trace=False)  # type: ignore[no-any-return, no-untyped-call]


def save(traced: torch.jit.ScriptModule, path: Path) -> None:
    """Write a traced net to a file."""
    with _without_warnings():
        torch.jit.save(traced, path)


def load(path: Path) -> torch.jit.ScriptModule:
    """Read a traced net from a file that `save` wrote."""
    with _without_warnings():
        return torch.jit.load(path)  # type: ignore[no-any-return, no-untyped-call]


def frozen(traced: torch.jit.ScriptModule) -> Callable[[Tensor], Any]:
    """The optimised graph as a function: constants folded, images in channels-last order."""
    with _without_warnings():
        optimised = torch.jit.optimize_for_inference(torch.jit.freeze(traced.eval()))

    def run(batch: Tensor) -> Any:
        if batch.ndim == IMAGE_AXES:
            batch = batch.contiguous(memory_format=torch.channels_last)
        return optimised(batch)

    return run
