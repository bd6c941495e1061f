"""Models of ours that are quick and whose answers are known, for tests around them."""

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from project.errors import InvalidInput
from project.models._base import Array, Model, Params


class ShadeParams(Params):
    """threshold: brightness from which a picture is called light."""

    threshold: float = Field(127.5, ge=0, le=255, description="Brightness from which it is light.")


class Shade(BaseModel):
    """Light or dark."""

    label: str
    brightness: float


class ShadeModel(Model[ShadeParams, Shade]):
    """Says whether a picture is light or dark; hooks let tests hold it, break it or refuse."""

    version = "1"
    licence = "MIT"
    weights = "none"
    summary = "Light or dark."
    params: ClassVar[type[Params]] = ShadeParams
    result: ClassVar[type[BaseModel]] = Shade

    def __init__(self, name: str = "shade") -> None:
        super().__init__(name)
        self.labels = ("light", "dark")
        self.batches: list[int] = []
        self.entered = threading.Event()  # set when a forward pass has begun
        self.go_on = threading.Event()  # a forward pass waits for it
        self.go_on.set()
        self.load_error: Exception | None = None
        self.forward_error: Exception | None = None
        self.refuse = False

    def load(self) -> None:
        if self.load_error:
            raise self.load_error

    def preprocess(self, image: Image.Image, params: ShadeParams) -> Array:
        if self.refuse:
            raise InvalidInput("this model takes no pictures today")
        return np.asarray(image.convert("L").resize((8, 8)), dtype=np.float32)

    def forward(self, batch: Array) -> Sequence[Any]:
        self.batches.append(len(batch))
        self.entered.set()
        self.go_on.wait()
        if self.forward_error:
            raise self.forward_error
        return list(batch.mean(axis=(1, 2)))

    def postprocess(self, output: Any, image_size: tuple[int, int], params: ShadeParams) -> Shade:
        label = "light" if output >= params.threshold else "dark"
        return Shade(label=label, brightness=round(float(output), 1))

    def foremost(self, result: Shade) -> tuple[str, float]:
        return result.label, 1.0
