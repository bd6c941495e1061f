"""drill: classifies an image as light or dark; slow on request, and raises on request."""

import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from project.models.base import NO_WEIGHTS, Array, BatchModel, Field, ImageInput, Params

# Beside project/ in the source tree of the drill. While it holds a share, such as 0.3, so many
# predictions fail.
RAISES = Path(__file__).parents[2] / "raises"
MIDDLE = 127.5


class Pace(Params):
    """seconds: duration of a prediction."""

    seconds: float = Field(0, ge=0, le=10, description="Seconds that the prediction takes.")


class Shade(BaseModel):
    """The class."""

    label: str
    confidence: float


class Drill(BatchModel[ImageInput, Shade, Pace]):
    """Mean brightness; without weights, so that it loads at once."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    labels = ("light", "dark")
    summary = "Light or dark, or broken."
    backend = "numpy"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._counter = count()

    def preprocess(self, inputs: ImageInput, params: Pace) -> Array:  # noqa: ARG002
        """Eight by eight grey values."""
        return np.asarray(inputs.image.convert("L").resize((8, 8)), dtype=np.float32)

    def forward(self, batch: Array) -> Sequence[Any]:
        """Mean brightness of each."""
        return list(batch.mean(axis=(1, 2)))

    def postprocess(
        self,
        output: Any,
        inputs: ImageInput,  # noqa: ARG002
        params: Pace,
    ) -> Shade:
        """Light or dark; raises for the share in RAISES, evenly spread."""
        share = float(RAISES.read_text()) if RAISES.exists() else 0.0
        number = next(self._counter)
        if int((number + 1) * share) > int(number * share):
            raise ValueError("the drill wants this prediction to fail")
        if params.seconds:
            threading.Event().wait(params.seconds)
        confidence = 0.5 + abs(float(output) - MIDDLE) / 255
        return Shade(label="light" if output > MIDDLE else "dark", confidence=confidence)

    def top_prediction(self, result: Shade) -> tuple[str, float]:
        """Label and confidence that are counted."""
        return result.label, result.confidence
