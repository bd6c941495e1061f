"""BentoML: a worker a core, once with single photos in raw bodies, once with adaptive batching.

Batches are lists to BentoML, and lists of files come as forms. What it counts and logs for every
request is switched off, in its favour.
"""

from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from benchmarks.peers.common import MAX_BATCH, WORKERS, ready_predictor

CONFIGURATION: dict[str, Any] = {
    "workers": WORKERS,
    "resources": {"cpu": str(WORKERS)},
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
    "traffic": {"timeout": 60},
}
Jpeg = Annotated[Path, ContentType("image/jpeg")]


@bentoml.service(**CONFIGURATION)
class Single:
    """One photo, one forward pass."""

    def __init__(self) -> None:
        self.predictor = ready_predictor()

    @bentoml.api
    def predict(self, image: Jpeg, /) -> dict[str, Any]:
        """Classify the photo in the body."""
        return self.predictor.predict(image.read_bytes()).model_dump()


@bentoml.service(**CONFIGURATION)
class Batching:
    """Photos that come together share a forward pass."""

    def __init__(self) -> None:
        self.predictor = ready_predictor()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH)
    def predict(self, images: list[Jpeg]) -> list[dict[str, Any]]:
        """Classify the photos of a form."""
        photos = [image.read_bytes() for image in images]
        return [result.model_dump() for result in self.predictor.predict_many(photos)]
