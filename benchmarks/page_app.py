"""The product with a stub for `python -m benchmarks.page`: boxes that move, in 30 ms a frame."""

import time

from project.api.factory import create_app
from project.models.base import NO_WEIGHTS, Box, Boxes, ImageInput, Params, StepModel, Steps
from project.settings.loading import load_settings

SECONDS = 0.03


class Stub(StepModel[ImageInput, Boxes]):
    """Finds boxes that move, in a fixed time."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Finds boxes."

    def steps(self, inputs: ImageInput, params: Params) -> Steps[Boxes]:  # noqa: ARG002 - the contract's signature
        """Returns three boxes side by side."""
        yield 0.5
        time.sleep(SECONDS)
        width, height = inputs.image.size
        shift = time.monotonic() % 1
        corners = [
            (width * left, height * shift / 2, width * (left + 0.2), height * (shift / 2 + 0.3))
            for left in (0.1, 0.4, 0.7)
        ]
        return Boxes(boxes=[Box.at("box", 0.9, corner) for corner in corners])


app = create_app(load_settings(), [Stub("stub")])
