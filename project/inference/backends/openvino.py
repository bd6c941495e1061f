"""OpenVINO: a traced net is converted once, in a process of its own, and kept in a cache.

Native code can crash on a net or a processor that it does not know. The conversion and the first
runs therefore happen in a child: if that dies, this backend is passed over and the worker lives.

The cache holds one folder for each net, its weights, the versions and the processor's features; in
it the net as compiled for each precision, which loads six times as fast as it compiles.
"""

import fcntl
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger
from torch import Tensor

from project.errors import BackendUnavailable
from project.inference.backends import torchscript

# It would tell OpenVINO's maker of every start; without it OpenVINO takes a stub of its own.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

NET, EXAMPLE, SUMS = "net.pt", "example.npy", "sums.json"
DEVICE = "CPU"
BUILD_SECONDS = 600.0
ROOT = Path(__file__).parents[3]  # where the child finds this package
# What a net is compiled for. Other flags differ among hosts of one kind, and from boot to boot.
_VECTORS = re.compile(r"\b(?:sse|avx|amx|fma|f16c|asimd|sve|bf16|i8mm)\w*")
# Numbers and source lines in the text of a graph, which change without the net.
_ACCIDENTS = re.compile(r"___torch_mangle_\d+\.|#.*")


def precisions() -> list[str]:
    """What this processor computes in, fastest first. Raises BackendUnavailable without it."""
    capabilities = _core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    return ["bf16", "f32"] if "BF16" in capabilities else ["f32"]


class OpenVINONet:
    """A compiled net that is called as the torch module it was made from; safe in many threads.

    compiled: from `compiled_net`. streams: forward passes at a time, each on one thread.

    OpenVINO runs a net of one stream on the thread that calls it, and hands one of several streams
    over to threads of its own, which costs a tenth of a forward pass. So there are two: the first
    caller has the one to itself, and those who come meanwhile share the other.
    """

    def __init__(self, compiled: bytes, precision: str, streams: int) -> None:
        core = _core()
        first = core.import_model(compiled, DEVICE, _options(precision, 1))
        self._first = first.create_infer_request()
        self._free = threading.Lock()
        self._others = None
        if streams > 1:
            self._others = core.import_model(compiled, DEVICE, _options(precision, streams - 1))
        self._local = threading.local()

    def __call__(self, batch: Tensor) -> Tensor:
        """batch: as the module takes it. Returns what the module returns."""
        array = np.ascontiguousarray(batch.numpy())
        if self._others is None:
            with self._free:
                return _infer(self._first, array)
        if self._free.acquire(blocking=False):
            try:
                return _infer(self._first, array)
            finally:
                self._free.release()
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._others.create_infer_request()
        return _infer(request, array)


def _options(precision: str, streams: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams,
        "ENABLE_CPU_PINNING": False,  # pinning puts all workers on the same processors
    }


def _infer(request: Any, array: Any) -> Tensor:
    import openvino  # noqa: PLC0415 - optional

    request.infer([openvino.Tensor(array, shared_memory=True)])
    return torch.from_numpy(request.get_output_tensor(0).data.copy())


def compiled_net(
    traced: torch.jit.ScriptModule, example: Tensor, precision: str, cache: Path
) -> bytes:
    """A traced net, compiled: from the cache or made now.

    example: a batch of two or more. Raises BackendUnavailable where it cannot be made.
    """
    kept = cache / _key(traced)
    with _locked(cache, kept.name):
        found = _read(kept, precision)
        if found is None:
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                torchscript.save(traced, work / NET)
                np.save(work / EXAMPLE, example.numpy())
                _build(work)
                found = _read(work, precision)
                _keep(work, kept)
    if found is None:
        raise BackendUnavailable("what was converted cannot be read")
    return found


def _core() -> Any:
    try:
        import openvino  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise BackendUnavailable("OpenVINO is not installed") from error
    return openvino.Core()


def _key(traced: torch.jit.ScriptModule) -> str:
    """Changes with the net, its weights, the versions, what the processor can do, and this file."""
    import openvino  # noqa: PLC0415 - known to be there by now

    digest = hashlib.sha256()
    for name, value in sorted(traced.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    graph = _ACCIDENTS.sub("", str(traced.inlined_graph))
    code = Path(__file__).read_text()
    facts = (graph, torch.__version__, openvino.__version__, _features(), code)
    for fact in facts:
        digest.update(fact.encode())
    return digest.hexdigest()[:32]


def _features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return " ".join(sorted(set(_VECTORS.findall(flags))))


@contextmanager
def _locked(cache: Path, name: str) -> Iterator[None]:
    """One process builds, its siblings wait and find what it built.

    Where the cache cannot be written nobody can find anything, so nobody needs to wait.
    """
    with ExitStack() as held:
        with suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            file = held.enter_context((cache / f"{name}.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(kept: Path, precision: str) -> bytes | None:
    """What was compiled for that precision, where it is there and undamaged."""
    try:
        sums = json.loads((kept / SUMS).read_text())
        compiled = (kept / precision).read_bytes()
        return compiled if sums[precision] == hashlib.sha256(compiled).hexdigest() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(work: Path, kept: Path) -> None:
    """Have it in the cache, all or nothing; where there is no room, the next start builds it."""
    part = kept.with_suffix(".part")
    try:
        for folder in (part, kept):
            shutil.rmtree(folder, ignore_errors=True)
        part.mkdir()
        for name in (*json.loads((work / SUMS).read_text()), SUMS):
            shutil.copy(work / name, part / name)
        part.rename(kept)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        logger.bind(reason=str(error)).warning("converted_net_not_kept")


def _build(work: Path) -> None:
    command = [sys.executable, "-m", "project.inference.backends.openvino", str(work)]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise BackendUnavailable(f"took longer than {BUILD_SECONDS:g} s to convert") from error
    if done.returncode:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise BackendUnavailable(f"the conversion ended with {how}: {last}")


def _convert(work: Path) -> None:
    """In the child: convert for any batch size, compile and run once in every precision."""
    import openvino  # noqa: PLC0415
    from openvino.frontend import FrontEndManager  # noqa: PLC0415
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415

    traced = torchscript.load(work / NET)
    example = np.load(work / EXAMPLE)
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=torch.from_numpy(example))
    graph = frontend.convert(frontend.load(decoder))
    if len(graph.outputs) != 1:
        raise SystemExit(f"the net has {len(graph.outputs)} outputs; one is supported")
    (parameter,) = graph.get_parameters()
    parameter.set_element_type(openvino.Type(example.dtype))
    graph.reshape({0: openvino.PartialShape([-1, *example.shape[1:]])})
    sums = {}
    for precision in precisions():
        net = _core().compile_model(graph, DEVICE, _options(precision, 1))
        compiled = net.export_model().getvalue()
        OpenVINONet(compiled, precision, 1)(torch.from_numpy(example))
        (work / precision).write_bytes(compiled)
        sums[precision] = hashlib.sha256(compiled).hexdigest()
    (work / SUMS).write_text(json.dumps(sums))


if __name__ == "__main__":
    _convert(Path(sys.argv[1]))
