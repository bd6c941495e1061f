"""drill_job: counts the pixels of an image, and takes as long as the drill wants."""

import threading
import time
from pathlib import Path

from pydantic import BaseModel

from project.models.base import NO_WEIGHTS, Field, ImageInput, Params, StepModel, Steps

# Beside project/ in the tree that the drill runs in. While it exists, no job ends.
HELD = Path(__file__).parents[2] / "held"
STEP_SECONDS = 0.05


class Length(Params):
    """seconds: minimum duration."""

    seconds: float = Field(0, ge=0, le=600, description="Minimum duration, seconds.")


class Done(BaseModel):
    """The result."""

    pixels: int


class DrillJob(StepModel[ImageInput, Done, Length]):
    """Waits in steps; it needs no weights and almost no processor time."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Counts pixels, as slowly as asked."
    backend = "python"
    background = True

    def steps(self, inputs: ImageInput, params: Length) -> Steps[Done]:
        """Return once the time is over and HELD does not exist."""
        end = time.monotonic() + params.seconds
        while HELD.exists() or time.monotonic() < end:
            threading.Event().wait(STEP_SECONDS)
            yield 0.5
        return Done(pixels=inputs.image.width * inputs.image.height)
