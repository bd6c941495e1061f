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

from project.inference.backends.selection import prepare_net
from project.inference.images.decoding import ImageLimits, decode
from project.models import create
from project.models.base import Array, Inputs
from project.models.base.inputs import fields_of
from project.settings import Settings

READY = "model_ready"  # written once by each process that holds the model
WORKERS = int(os.environ.get("BENCH_WORKERS", "1"))
MAX_BATCH = 8  # the product's own bound for this model


class Predictor:
    """The loaded model; its methods are the steps from the file's bytes to the answer."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        settings = Settings()
        (self.model,) = create(("classification",))
        self.model.load()
        backend = "auto" if os.environ.get("BENCH_MODE") == "compiled" else "torch"
        streams = int(os.environ.get("BENCH_STREAMS", "1"))
        prepare_net(self.model, backend, streams=streams, cache=settings.cache_dir / "backends")
        self._useful_side = fields_of(self.model.inputs)["image"].useful_side
        self._limits = ImageLimits.of(settings)
        self._params = self.model.params()

    def prepare(self, data: bytes, *, every_pixel: bool = False) -> tuple[Array, Inputs]:
        """The file's bytes to the net's input, with the model's inputs.

        every_pixel: decode all of them, as libraries do when they are not told what is needed.
        """
        decoded = decode(data, self._limits, None if every_pixel else self._useful_side)
        inputs = self.model.inputs(image=decoded.image)
        return self.model.preprocess(inputs, self._params), inputs

    def forward(self, inputs: Sequence[Array]) -> Sequence[Any]:
        """One pass for all inputs."""
        return self.model.forward(np.stack(inputs))

    def finish(self, output: object, inputs: Inputs) -> BaseModel:
        """One output to the result."""
        return self.model.postprocess(output, inputs, self._params)

    def predict(self, data: bytes) -> BaseModel:
        """All steps for one photo."""
        prepared, inputs = self.prepare(data)
        return self.finish(self.forward([prepared])[0], inputs)

    def predict_many(self, photos: Sequence[bytes]) -> list[BaseModel]:
        """All steps for several photos, with one forward pass."""
        prepared = [self.prepare(data) for data in photos]
        outputs = self.forward([item for item, _ in prepared])
        pairs = zip(outputs, prepared, strict=True)
        return [self.finish(output, inputs) for output, (_, inputs) in pairs]


def ready_predictor() -> Predictor:
    """A predictor that has said in the log that it is there."""
    predictor = Predictor()
    print(f"{READY} {predictor.model.backend}", flush=True)
    return predictor
