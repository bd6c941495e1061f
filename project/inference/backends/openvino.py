"""Runs nets that OpenVINO has compiled; it needs no torch."""

import hashlib
import sys
import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from project.errors import BackendUnavailable
from project.models.base import PRECISIONS, Array

# It would report every start to OpenVINO's maker; without it OpenVINO uses a stub of its own.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

DEVICE = "CPU"


def precisions(wanted: Sequence[str] = PRECISIONS) -> list[str]:
    """The precisions of this processor that a model wants, fastest first.

    Raises BackendUnavailable where OpenVINO is not installed.
    """
    capabilities = core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    found = ["bf16", "f32"] if "BF16" in capabilities else ["f32"]
    return [precision for precision in found if precision in wanted]


class OpenVINONet:
    """A compiled net, called like the torch module it was made from; safe in many threads.

    compiled: as exported for this precision. streams: forward passes at a time, each on one thread.

    OpenVINO runs a net of one stream on the calling thread, and a net of several streams on threads
    of its own, which costs a tenth of a forward pass. So there are two: the first call has a net of
    one stream to itself, and calls that come meanwhile share a net of the other streams.
    """

    def __init__(self, compiled: bytes, precision: str, streams: int) -> None:
        openvino = core()
        first = openvino.import_model(compiled, DEVICE, options(precision, 1))
        self._first = first.create_infer_request()
        self._first_lock = threading.Lock()
        self._others = None
        if streams > 1:
            self._others = openvino.import_model(compiled, DEVICE, options(precision, streams - 1))
        self._local = threading.local()

    def __call__(self, batch: Array) -> Array:
        """batch: (n, …) as the module takes it. Returns the module's output."""
        array = np.ascontiguousarray(batch)
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


def shared_net(compiled: bytes, precision: str, streams: int) -> OpenVINONet:
    """The net of this process that was made of the same bytes, or a new one: see OpenVINONet.

    Models that run the same nets, such as `detection` and `keypoints`, hold them once.
    """
    key = hashlib.sha256(compiled).digest(), precision, streams
    with _sharing:
        found = _shared.get(key)
        if found is None:
            found = _shared[key] = OpenVINONet(compiled, precision, streams)
        return found


_sharing = threading.Lock()
_shared: WeakValueDictionary[tuple[bytes, str, int], OpenVINONet] = WeakValueDictionary()


def options(precision: str, streams: int) -> dict[str, Any]:
    """Options to compile or import a net with. streams: forward passes at a time."""
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams,
        "ENABLE_CPU_PINNING": False,  # pinning puts all workers on the same processors
    }


def _infer(request: Any, array: Array) -> Array:
    import openvino  # noqa: PLC0415 - optional

    request.infer([openvino.Tensor(array, shared_memory=True)])
    return request.get_output_tensor(0).data.copy()  # type: ignore[no-any-return]


def core() -> Any:
    """OpenVINO's entry point. Raises BackendUnavailable where it is not installed."""
    try:
        import openvino  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise BackendUnavailable("OpenVINO is not installed") from error
    return openvino.Core()
