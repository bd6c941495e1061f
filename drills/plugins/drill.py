"""drill: classifies an image as light or dark; slow on request, and raises on request."""

import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from project.models.base import Array, Model, Params

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


class Drill(Model[Pace, Shade]):
    """Mean brightness; without weights, so that it loads at once."""

    version = "1"
    licence = "MIT"
    weights = "none"
    summary = "Light or dark, or broken."
    backend = "numpy"
    params: ClassVar[type[Params]] = Pace
    result: ClassVar[type[BaseModel]] = Shade

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.labels = ("light", "dark")
        self._counter = count()

    def load(self) -> None:
        """Nothing to load."""

    def preprocess(self, image: Image.Image, params: Pace) -> Array:  # noqa: ARG002
        """Eight by eight grey values."""
        return np.asarray(image.convert("L").resize((8, 8)), dtype=np.float32)

    def forward(self, batch: Array) -> Sequence[Any]:
        """Mean brightness of each."""
        return list(batch.mean(axis=(1, 2)))

    def postprocess(
        self,
        output: Any,
        image_size: tuple[int, int],  # noqa: ARG002
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
