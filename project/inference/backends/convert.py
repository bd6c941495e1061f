"""The child process that builds a model's nets, converts them and compares them with torch.

It writes into its folder: torch's outputs for the samples, the nets as compiled for each precision
whose outputs are equal, and the verdict.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from project.errors import BackendUnavailable
from project.inference.backends import eager, openvino, torchscript
from project.inference.backends.compiled import EXPECTED, REQUEST, file_of, write_verdict
from project.inference.backends.nets import (
    build_modules,
    check_all,
    outputs_of,
    recorded_batches,
    samples_of,
)
from project.models.base import Array, BatchModel


def main(work: Path) -> None:
    """Do what the request in the folder asks for."""
    model = _model(json.loads((work / REQUEST).read_text()))
    model.load()
    modules = build_modules(model)
    samples = samples_of(model)
    by_torch = {name: eager.as_function(module) for name, module in modules.items()}
    expected, batches = recorded_batches(model, by_torch, samples)
    np.savez(work / EXPECTED, allow_pickle=False, **expected)
    graphs = {name: _graph(module, batches[name]) for name, module in modules.items()}
    kept, refused = [EXPECTED], {}
    for precision in openvino.precisions(model.precisions):
        compiled = {name: _compiled(graph, precision) for name, graph in graphs.items()}
        nets = {name: openvino.OpenVINONet(net, precision, 1) for name, net in compiled.items()}
        try:
            check_all(expected, outputs_of(model, nets, samples))
        except BackendUnavailable as error:
            refused[precision] = error.detail
            continue
        for name, net in compiled.items():
            file = file_of(precision, name)
            (work / file).write_bytes(net)
            kept.append(file)
    write_verdict(work, kept, refused)


def _model(request: dict[str, Any]) -> BatchModel[Any, Any, Any]:
    kind = getattr(importlib.import_module(request["module"]), request["class"])
    model: BatchModel[Any, Any, Any] = kind(request["name"])
    model.source = request["source"]
    return model


def _compiled(graph: Any, precision: str) -> bytes:
    net = openvino.core().compile_model(graph, openvino.DEVICE, openvino.options(precision, 1))
    return net.export_model().getvalue()  # type: ignore[no-any-return]


def _graph(module: torch.nn.Module, batches: Sequence[Array]) -> Any:
    """OpenVINO's graph of a net, for any batch size.

    batches: what it is called with, first one of two or more. Other axes are of any length too,
    where the batches differ in them.
    """
    from openvino import PartialShape, Type  # noqa: PLC0415
    from openvino.frontend import FrontEndManager  # noqa: PLC0415
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415

    example = batches[0]
    tensor = torch.from_numpy(example)
    decoder = TorchScriptPythonDecoder(torchscript.trace(module, tensor), example_input=tensor)
    frontend = FrontEndManager().load_by_framework("pytorch")
    graph = frontend.convert(frontend.load(decoder))
    if len(graph.outputs) != 1:
        raise SystemExit(f"the net has {len(graph.outputs)} outputs; one is supported")
    (parameter,) = graph.get_parameters()
    parameter.set_element_type(Type(example.dtype))
    lengths = zip(*(batch.shape[1:] for batch in batches), strict=True)
    sides = [given[0] if len(set(given)) == 1 else -1 for given in lengths]
    graph.reshape({0: PartialShape([-1, *sides])})
    return graph


if __name__ == "__main__":
    main(Path(sys.argv[1]))
