"""The model as every peer and the in-process limit call it: the same steps, one photo at a time.

`BENCH_MODE` says whether torch runs the net as it is (`eager`), or what the product would put in
its place (`compiled`); `BENCH_STREAMS` how many forward passes this process makes at a time.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from project.inference.backends.selection import accelerate
from project.inference.images.decoding import ImageLimits, decode
from project.models import create
from project.models.base import Array
from project.settings import Settings

READY = "model_ready"  # written once by each process that holds the model
WORKERS = int(os.environ.get("BENCH_WORKERS", "1"))
MAX_BATCH = 8  # the product's own bound for this model

Size = tuple[int, int]


class Predictor:
    """The loaded model; its methods are the steps from the file's bytes to the answer."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        settings = Settings()
        (self.model,) = create(("classification",))
        self.model.load()
        if os.environ.get("BENCH_MODE") == "compiled":
            streams = int(os.environ.get("BENCH_STREAMS", "1"))
            cache = settings.cache_dir / "backends"
            accelerate(self.model, "auto", streams=streams, cache=cache)
        self._limits = ImageLimits.of(settings)
        self._params = self.model.params()

    def prepare(self, data: bytes, *, every_pixel: bool = False) -> tuple[Array, Size]:
        """The file's bytes to the net's input, with the size of the photo.

        every_pixel: decode all of them, as libraries do when they are not told what is needed.
        """
        decoded = decode(data, self._limits, None if every_pixel else self.model.useful_side)
        return self.model.preprocess(decoded.image, self._params), decoded.size

    def forward(self, inputs: Sequence[Array]) -> Sequence[Any]:
        """One pass for all inputs."""
        return self.model.forward(np.stack(inputs))

    def finish(self, output: object, size: Size) -> BaseModel:
        """One output to the result."""
        return self.model.postprocess(output, size, self._params)

    def predict(self, data: bytes) -> BaseModel:
        """All steps for one photo."""
        prepared, size = self.prepare(data)
        return self.finish(self.forward([prepared])[0], size)

    def predict_many(self, photos: Sequence[bytes]) -> list[BaseModel]:
        """All steps for several photos, with one forward pass."""
        prepared = [self.prepare(data) for data in photos]
        outputs = self.forward([item for item, _ in prepared])
        pairs = zip(outputs, prepared, strict=True)
        return [self.finish(output, size) for output, (_, size) in pairs]


def ready_predictor() -> Predictor:
    """A predictor that has said in the log that it is there."""
    predictor = Predictor()
    print(f"{READY} {predictor.model.backend}", flush=True)
    return predictor
