"""errand: counts the pixels of a picture, and takes as long as the drill wants."""

import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import ClassVar

from PIL import Image
from pydantic import BaseModel, Field

from project.models.base import LongModel, Params

# Beside project/ in the tree that the drill runs in. While it is there, no errand ends.
HELD = Path(__file__).parents[2] / "held"
STEP_SECONDS = 0.05


class Length(Params):
    """seconds: how long it takes at least."""

    seconds: float = Field(0, ge=0, le=600, description="Seconds that it takes.")


class Done(BaseModel):
    """What it found."""

    pixels: int


class Errand(LongModel[Length, Done]):
    """Waits in steps; it needs neither weights nor a processor."""

    version = "1"
    licence = "MIT"
    weights = "none"
    summary = "Counts pixels, in its own time."
    backend = "python"
    params: ClassVar[type[Params]] = Length
    result: ClassVar[type[BaseModel]] = Done

    def load(self) -> None:
        """There is nothing to read."""

    def steps(
        self, images: Mapping[str, Image.Image], params: Length
    ) -> Generator[float, None, Done]:
        """Return once the time is over and nobody holds it."""
        end = time.monotonic() + params.seconds
        while HELD.exists() or time.monotonic() < end:
            threading.Event().wait(STEP_SECONDS)
            yield 0.5
        return Done(pixels=images["image"].width * images["image"].height)
