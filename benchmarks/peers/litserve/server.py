"""LitServe with its settings for many requests on processors: a worker a core, the ZeroMQ queue.

An argument `batching` switches dynamic batching on.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import litserve
from fastapi import Body

from benchmarks.peers.common import MAX_BATCH, WORKERS, ready_predictor

BATCH_SECONDS = 0.01  # to wait for company; what the batching examples of the documentation use


class Classification(litserve.LitAPI):
    """The steps under the names that LitServe gives them."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - its signature
        """Load, once in each worker."""
        self.predictor = ready_predictor()

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> bytes:
        """The body is the photo."""
        return request

    def predict(self, x: Any) -> Any:
        """One photo, or a list of them where batching is on."""
        return self.predictor.predict_many(x) if isinstance(x, list) else self.predictor.predict(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """A result as JSON."""
        return output.model_dump()  # type: ignore[no-any-return]


class Batching(Classification):
    """The same, for lists of photos."""

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Leave them a list: `predict_many` stacks what it has decoded."""
        return inputs

    def unbatch(self, output: Sequence[Any]) -> Sequence[Any]:
        """One answer each."""
        return output


if __name__ == "__main__":
    batching = "batching" in sys.argv
    api = (
        Batching(max_batch_size=MAX_BATCH, batch_timeout=BATCH_SECONDS)
        if batching
        else Classification()
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
