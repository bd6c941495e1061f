"""drill_job: counts the pixels of an image, and takes as long as the drill wants."""

import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import ClassVar

from PIL import Image
from pydantic import BaseModel, Field

from project.models.base import LongModel, Params

# Beside project/ in the tree that the drill runs in. While it exists, no job ends.
HELD = Path(__file__).parents[2] / "held"
STEP_SECONDS = 0.05


class Length(Params):
    """seconds: minimum duration."""

    seconds: float = Field(0, ge=0, le=600, description="Minimum duration, seconds.")


class Done(BaseModel):
    """The result."""

    pixels: int


class DrillJob(LongModel[Length, Done]):
    """Waits in steps; it needs no weights and almost no processor time."""

    version = "1"
    licence = "MIT"
    weights = "none"
    summary = "Counts pixels, as slowly as asked."
    backend = "python"
    params: ClassVar[type[Params]] = Length
    result: ClassVar[type[BaseModel]] = Done

    def load(self) -> None:
        """Nothing to load."""

    def steps(
        self, images: Mapping[str, Image.Image], params: Length
    ) -> Generator[float, None, Done]:
        """Return once the time is over and HELD does not exist."""
        end = time.monotonic() + params.seconds
        while HELD.exists() or time.monotonic() < end:
            threading.Event().wait(STEP_SECONDS)
            yield 0.5
        return Done(pixels=images["image"].width * images["image"].height)
