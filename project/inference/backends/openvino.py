"""The OpenVINO backend: a traced net is converted once, in a child process, and cached.

Native code can crash on a net or a processor that it does not know. The conversion and the first
runs therefore happen in a child: if that dies, this backend is passed over and the worker lives.

The cache has one folder for each combination of net, weights, versions and processor features; it
holds the net as compiled for each precision, which loads six times as fast as it compiles.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger
from torch import Tensor

from project.errors import BackendUnavailable
from project.inference.backends import torchscript

# It would report every start to OpenVINO's maker; without it OpenVINO uses a stub of its own.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

NET, EXAMPLE, CHECKSUMS = "net.pt", "example.npy", "sums.json"
DEVICE = "CPU"
CONVERT_SECONDS = 600.0
ROOT = Path(__file__).parents[3]  # where the child finds this package
CONVERT = (sys.executable, "-m", "project.inference.backends.openvino")  # the child's command
# What a net is compiled for. Other flags differ among hosts of one kind, and from boot to boot.
_VECTOR_FLAGS = re.compile(r"\b(?:sse|avx|amx|fma|f16c|asimd|sve|bf16|i8mm)\w*")
# Numbers and source lines in the text of a graph, which change although the net does not.
_VOLATILE = re.compile(r"___torch_mangle_\d+\.|#.*")


Convert = Callable[[Path], None]  # see convert_in_child


def precisions() -> list[str]:
    """The precisions of this processor, fastest first.

    Raises BackendUnavailable where OpenVINO is not installed.
    """
    capabilities = _core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    return ["bf16", "f32"] if "BF16" in capabilities else ["f32"]


class OpenVINONet:
    """A compiled net, called like the torch module it was made from; safe in many threads.

    compiled: from `compiled_net`. streams: forward passes at a time, each on one thread.

    OpenVINO runs a net of one stream on the calling thread, and a net of several streams on threads
    of its own, which costs a tenth of a forward pass. So there are two: the first call has a net of
    one stream to itself, and calls that come meanwhile share a net of the other streams.
    """

    def __init__(self, compiled: bytes, precision: str, streams: int) -> None:
        core = _core()
        first = core.import_model(compiled, DEVICE, _options(precision, 1))
        self._first = first.create_infer_request()
        self._first_lock = threading.Lock()
        self._others = None
        if streams > 1:
            self._others = core.import_model(compiled, DEVICE, _options(precision, streams - 1))
        self._local = threading.local()

    def __call__(self, batch: Tensor) -> Tensor:
        """batch: (n, …) as the module takes it. Returns the module's output."""
        array = np.ascontiguousarray(batch.numpy())
        if self._others is None:
            with self._first_lock:
                return _infer(self._first, array)
        if self._first_lock.acquire(blocking=False):
            try:
                return _infer(self._first, array)
            finally:
                self._first_lock.release()
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
    traced: torch.jit.ScriptModule,
    example: Tensor,
    precision: str,
    cache: Path,
    *,
    convert: Convert,
) -> bytes:
    """A traced net as compiled for a precision, from the cache or converted now.

    example: a batch of two or more. cache: the folder. convert: see convert_in_child. Raises
    BackendUnavailable where it cannot be converted.
    """
    entry = cache / _key(traced)
    with _locked(cache, entry.name):
        compiled = read_compiled(entry, precision)
        if compiled is None:
            with tempfile.TemporaryDirectory() as folder:
                work = Path(folder)
                torchscript.save(traced, work / NET)
                np.save(work / EXAMPLE, example.numpy())
                convert(work)
                compiled = read_compiled(work, precision)
                _store(work, entry)
    if compiled is None:
        raise BackendUnavailable("what was converted cannot be read")
    return compiled


def _core() -> Any:
    try:
        import openvino  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise BackendUnavailable("OpenVINO is not installed") from error
    return openvino.Core()


def _key(traced: torch.jit.ScriptModule) -> str:
    """The hash of the net, its weights, the versions, the processor's features, and this file."""
    import openvino  # noqa: PLC0415 - known to be there by now

    digest = hashlib.sha256()
    for name, value in sorted(traced.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    graph = _VOLATILE.sub("", str(traced.inlined_graph))
    code = Path(__file__).read_text()
    facts = (graph, torch.__version__, openvino.__version__, _processor_features(), code)
    for fact in facts:
        digest.update(fact.encode())
    return digest.hexdigest()[:32]


def _processor_features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return " ".join(sorted(set(_VECTOR_FLAGS.findall(flags))))


@contextmanager
def _locked(cache: Path, name: str) -> Iterator[None]:
    """One process converts; its siblings wait, then find the result in the cache.

    Where the cache cannot be written there is nothing to find, so no process waits.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((cache / f"{name}.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_compiled(entry: Path, precision: str) -> bytes | None:
    """The net compiled for a precision; None where it is missing or damaged. entry: its folder."""
    try:
        checksums = json.loads((entry / CHECKSUMS).read_text())
        compiled = (entry / precision).read_bytes()
        return compiled if checksums[precision] == hashlib.sha256(compiled).hexdigest() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(work: Path, entry: Path) -> None:
    """Store the whole entry or nothing; without room on the disk the next start converts again."""
    part = entry.with_suffix(".part")
    try:
        for folder in (part, entry):
            shutil.rmtree(folder, ignore_errors=True)
        part.mkdir()
        for name in (*json.loads((work / CHECKSUMS).read_text()), CHECKSUMS):
            shutil.copy(work / name, part / name)
        part.rename(entry)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        logger.bind(reason=str(error)).warning("converted_net_not_kept")


def convert_in_child(work: Path, command: Sequence[str] = CONVERT) -> None:
    """Convert the traced net of a folder for every precision; the results are in the folder.

    command: of the child, which gets the folder's path. Raises BackendUnavailable where the child
    fails, crashes or takes too long.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [*command, str(work)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=CONVERT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BackendUnavailable(f"took longer than {CONVERT_SECONDS:g} s to convert") from error
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
    checksums = {}
    for precision in precisions():
        net = _core().compile_model(graph, DEVICE, _options(precision, 1))
        compiled = net.export_model().getvalue()
        OpenVINONet(compiled, precision, 1)(torch.from_numpy(example))
        (work / precision).write_bytes(compiled)
        checksums[precision] = hashlib.sha256(compiled).hexdigest()
    (work / CHECKSUMS).write_text(json.dumps(checksums))


if __name__ == "__main__":
    _convert(Path(sys.argv[1]))
