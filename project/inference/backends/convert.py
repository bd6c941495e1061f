"""The child process that builds a model's net, converts it and compares it with torch.

It writes into its folder: torch's outputs for the samples, the net as compiled for each precision
whose outputs are equal, and the verdict.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from project.errors import BackendUnavailable
from project.inference.backends import eager, openvino, torchscript
from project.inference.backends.comparison import check_outputs, outputs_for, sample_arrays
from project.inference.backends.compiled import EXPECTED, REQUEST, write_verdict
from project.models.base import Array, BatchModel


def main(work: Path) -> None:
    """Do what the request in the folder asks for."""
    model = _model(json.loads((work / REQUEST).read_text()))
    model.load()
    module = model.build_net()
    samples = sample_arrays(model)
    recorded: list[Array] = []
    run = eager.as_function(module)

    def recording(batch: Array) -> Array:
        recorded.append(batch.copy())
        return run(batch)

    model.net = recording
    expected = outputs_for(model, samples)
    np.save(work / EXPECTED, expected)
    graph = _graph(module, recorded[0])
    kept, refused = [EXPECTED], {}
    for precision in openvino.precisions():
        net = openvino.core().compile_model(graph, openvino.DEVICE, openvino.options(precision, 1))
        compiled = net.export_model().getvalue()
        model.net = openvino.OpenVINONet(compiled, precision, 1)
        try:
            check_outputs(expected, outputs_for(model, samples))
        except BackendUnavailable as error:
            refused[precision] = error.detail
        else:
            (work / precision).write_bytes(compiled)
            kept.append(precision)
    write_verdict(work, kept, refused)


def _model(request: dict[str, Any]) -> BatchModel[Any, Any, Any]:
    kind = getattr(importlib.import_module(request["module"]), request["class"])
    model: BatchModel[Any, Any, Any] = kind(request["name"])
    model.source = request["source"]
    return model


def _graph(module: torch.nn.Module, example: Array) -> Any:
    """OpenVINO's graph of a net, for any batch size. example: a batch of two or more."""
    from openvino import PartialShape, Type  # noqa: PLC0415
    from openvino.frontend import FrontEndManager  # noqa: PLC0415
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415

    tensor = torch.from_numpy(example)
    decoder = TorchScriptPythonDecoder(torchscript.trace(module, tensor), example_input=tensor)
    frontend = FrontEndManager().load_by_framework("pytorch")
    graph = frontend.convert(frontend.load(decoder))
    if len(graph.outputs) != 1:
        raise SystemExit(f"the net has {len(graph.outputs)} outputs; one is supported")
    (parameter,) = graph.get_parameters()
    parameter.set_element_type(Type(example.dtype))
    graph.reshape({0: PartialShape([-1, *example.shape[1:]])})
    return graph


if __name__ == "__main__":
    main(Path(sys.argv[1]))
