"""The contract of a model; it knows nothing of HTTP, metrics or files.

A model is one file in `project/models/` with one subclass of `Model`, or of `LongModel` if it takes
seconds or minutes. The file's name is the model's name in the URL, the metrics, the logs and the
setting MODELS.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

Array = NDArray[Any]


class Params(BaseModel):
    """Base of a model's parameters: give each a type, bounds, a default and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NoParams(Params):
    """For a model without parameters."""


P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=BaseModel)


class Declared(ABC):
    """What every model declares, quick or long."""

    version: ClassVar[str]  # of the model, shown in /v1/models and model_info
    licence: str  # of the weights, SPDX
    weights: str  # short name of the weights, shown in model_info
    summary: ClassVar[str]  # one line for people
    params: ClassVar[type[Params]] = NoParams
    backend: str = "torch"  # what runs the net
    source: str | None = None  # what <NAME>_WEIGHTS names; None: the weights that come with it

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def load(self) -> None:
        """Read the weights. Called once in each process; an error keeps /ready red."""


class Model(Declared, Generic[P, R]):
    """One image in, one result out.

    The runner calls `preprocess` for many images at once in several threads, stacks the arrays,
    calls `forward` for the batch, then `postprocess` for each image; several batches may run at
    once, so `forward` must not change the model.

    A torch module that `load` assigns to `self.net`, and that takes one tensor and returns one, is
    replaced by the fastest executable with equal outputs (inference/backends/).
    """

    result: ClassVar[type[BaseModel]]
    max_batch: ClassVar[int] = 8
    useful_side: ClassVar[int | None] = None  # see preprocess; None: every pixel counts

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.labels: Sequence[str] = ()  # the closed set of labels, if there is one

    @abstractmethod
    def preprocess(self, image: Image.Image, params: P) -> Array:
        """Turn an RGB image, upright and at least MIN_IMAGE_SIDE a side, into the net's input.

        An image whose shorter side has twice `useful_side` pixels or more may come scaled down,
        to no less than that. Returns an array of one shape for all images, without a batch
        dimension.
        """

    @abstractmethod
    def forward(self, batch: Array) -> Sequence[Any]:
        """Run the net. batch: (n, …) stacked inputs, n up to `max_batch`. Returns n outputs."""

    @abstractmethod
    def postprocess(self, output: Any, image_size: tuple[int, int], params: P) -> R:
        """Turn one output into the result. image_size: (width, height) of the image as sent."""

    def top_prediction(self, result: R) -> tuple[str, float] | None:
        """The label and confidence (0 to 1) to count for a result; None where there is none."""
        return None


def softmax(logits: Array) -> Array:
    """Probabilities of logits along the last axis, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]
