"""Mosec: one stage with a worker a core; with the argument `batching`, two stages.

As in its examples, one stage then prepares photos and the other runs them in dynamic batches.
"""

import sys
from collections.abc import Sequence
from typing import Any

import mosec

from benchmarks.peers.common import MAX_BATCH, WORKERS, ready_predictor

BATCH_MILLISECONDS = (
    5  # to wait for company; longer only adds latency, a forward pass takes about that
)


class Photos(mosec.Worker):
    """What takes the request's body as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = ready_predictor()

    def deserialize(self, data: bytes) -> bytes:
        """The body is the photo."""
        return data


class Whole(Photos):
    """All steps for one photo."""

    def forward(self, data: bytes) -> dict[str, Any]:
        """Classify."""
        return self.predictor.predict(data).model_dump()


class Preparation(Photos):
    """Decode and preprocess."""

    def forward(self, data: bytes) -> Any:
        """The net's input and the photo's size, pickled for the next stage."""
        return self.predictor.prepare(data)


class Inference(mosec.Worker):
    """Forward passes for several."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = ready_predictor()

    def forward(self, data: Sequence[Any]) -> list[dict[str, Any]]:
        """Classify a batch."""
        outputs = self.predictor.forward([item for item, _ in data])
        pairs = zip(outputs, data, strict=True)
        return [self.predictor.finish(output, size).model_dump() for output, (_, size) in pairs]


if __name__ == "__main__":
    server = mosec.Server()
    if "batching" in sys.argv:
        server.append_worker(Preparation, num=WORKERS)
        server.append_worker(
            Inference, num=WORKERS, max_batch_size=MAX_BATCH, max_wait_time=BATCH_MILLISECONDS
        )
    else:
        server.append_worker(Whole, num=WORKERS)
    server.run()
