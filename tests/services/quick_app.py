"""The product with a fake model that can be slow or fail on demand: what most service tests serve.

The model's parameters choose what happens: `seconds` holds the forward pass for so long, `fail`
makes it raise. The setting REVISION=unloadable makes the model fail to load, REVISION=wait:FILE
makes it load only once that file is there, REVISION=hang makes every forward pass but the first
hang.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from project.api.factory import create_app
from project.models.base import Array, ImageInput, Params
from project.settings.loading import load_settings
from tests.fakes import Shade, ShadeModel, ShadeParams

PATH = "/v1/models/shade/predictions"


class QuickParams(ShadeParams):
    """seconds: how long the prediction takes. fail: whether the model raises."""

    seconds: float = Field(0, ge=0, le=60, description="Seconds that the prediction takes.")
    fail: bool = Field(default=False, description="Whether the model raises.")


class QuickModel(ShadeModel):
    """Holds or breaks in postprocess, which knows the parameters and runs in the net's thread."""

    params: ClassVar[type[Params]] = QuickParams

    def postprocess(self, output: Any, inputs: ImageInput, params: Any) -> Shade:
        if params.seconds:
            threading.Event().wait(params.seconds)
        if params.fail:
            raise ValueError("asked to fail")
        return super().postprocess(output, inputs, params)


def quick_model() -> QuickModel:
    """A model that loads, unless the settings say otherwise."""
    model = QuickModel()
    wish, _, file = load_settings().revision.partition(":")
    if wish == "unloadable":
        model.load_error = OSError("weights are corrupt")
    elif wish == "wait":
        model.load = lambda: wait_for(Path(file))  # type: ignore[method-assign]
    elif wish == "hang":
        model.forward = hang_after_the_first(model)  # type: ignore[method-assign]
    return model


def wait_for(file: Path) -> None:
    """Return once the file is there; the test makes it."""
    tick = threading.Event()
    while not file.exists():
        tick.wait(0.01)


def hang_after_the_first(model: QuickModel) -> Callable[[Array], Sequence[Any]]:
    """The first forward pass is the warm-up's; those after it never end."""
    passes = iter(range(1_000_000))
    forward = model.forward

    def hang(batch: Array) -> Sequence[Any]:
        if next(passes):
            threading.Event().wait()
        return forward(batch)

    return hang


app = create_app(load_settings(), [quick_model()])
