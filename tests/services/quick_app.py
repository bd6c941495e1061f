"""The product with a fake model that can be slow or fail on demand: what most service tests serve.

The model's parameters choose what happens: `seconds` holds the forward pass for so long, `fail`
makes it raise. The setting REVISION=unloadable makes the model fail to load.
"""

import threading
from typing import Any, ClassVar

from pydantic import Field

from project.api.factory import create_app
from project.models._base import Params
from project.settings import load_settings
from tests.fakes import Shade, ShadeModel, ShadeParams

PATH = "/v1/models/shade/predictions"


class QuickParams(ShadeParams):
    """seconds: how long the prediction takes. fail: whether the model raises."""

    seconds: float = Field(0, ge=0, le=60, description="Seconds that the prediction takes.")
    fail: bool = Field(default=False, description="Whether the model raises.")


class QuickModel(ShadeModel):
    """Holds or breaks in postprocess, which knows the parameters and runs in the net's thread."""

    params: ClassVar[type[Params]] = QuickParams

    def postprocess(self, output: Any, image_size: tuple[int, int], params: Any) -> Shade:
        if params.seconds:
            threading.Event().wait(params.seconds)
        if params.fail:
            raise ValueError("asked to fail")
        return super().postprocess(output, image_size, params)


def quick_model() -> QuickModel:
    """A model that loads, unless the settings say otherwise."""
    model = QuickModel()
    if load_settings().revision == "unloadable":
        model.load_error = OSError("weights are corrupt")
    return model


app = create_app(load_settings(), [quick_model()])
