"""Fakes: models whose results are known, and a queue that keeps what is sent."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from project.db.records import Job
from project.errors import BrokerUnavailable, InvalidInput
from project.jobs.queue import JobQueue, QueueState
from project.models.base import (
    NO_WEIGHTS,
    Array,
    BatchModel,
    ImageInput,
    Inputs,
    NoInputs,
    Params,
    Picture,
    StepModel,
    Steps,
)


class ShadeParams(Params):
    """threshold: brightness from which a picture is called light."""

    threshold: float = Field(127.5, ge=0, le=255, description="Brightness from which it is light.")


class Shade(BaseModel):
    """Light or dark."""

    label: str
    brightness: float


class ShadeModel(BatchModel[ImageInput, Shade, ShadeParams]):
    """Says whether a picture is light or dark; hooks let tests hold it, break it or refuse."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Light or dark."
    labels = ("light", "dark")

    def __init__(self, name: str = "shade") -> None:
        super().__init__(name)
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

    def preprocess(self, inputs: ImageInput, params: ShadeParams) -> Array:
        if self.refuse:
            raise InvalidInput("this model takes no pictures today")
        return np.asarray(inputs.image.convert("L").resize((8, 8)), dtype=np.float32)

    def forward(self, batch: Array) -> Sequence[Any]:
        self.batches.append(len(batch))
        self.entered.set()
        self.go_on.wait()
        if self.forward_error:
            raise self.forward_error
        return list(batch.mean(axis=(1, 2)))

    def postprocess(self, output: Any, inputs: ImageInput, params: ShadeParams) -> Shade:
        label = "light" if output >= params.threshold else "dark"
        return Shade(label=label, brightness=round(float(output), 1))

    def top_prediction(self, result: Shade) -> tuple[str, float]:
        return result.label, 1.0


class TwoPictures(Inputs):
    """Two pictures."""

    content: Picture
    style: Picture


class BlendModel(StepModel[TwoPictures, Picture, ShadeParams]):
    """Takes two pictures and gives the first of them back."""

    version = "2"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "The first of two."

    def __init__(self, name: str = "blend") -> None:
        super().__init__(name)

    def steps(self, inputs: TwoPictures, params: ShadeParams) -> Steps[Picture]:
        yield 0.5
        return inputs.content


class Prompt(Params):
    """prompt: demanded, as there is no picture to begin with."""

    prompt: str = Field(max_length=100, examples=["a cat"], description="What to paint.")
    size: float = Field(64, description="Any number.")


class PaintModel(StepModel[NoInputs, Picture, Prompt]):
    """Takes no picture at all, and too long to be waited for."""

    version = "2"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "A picture of words."
    background = True

    def __init__(self, name: str = "paint") -> None:
        super().__init__(name)

    def load(self) -> None:
        raise AssertionError("the API never loads a model that runs in the background")

    def steps(self, inputs: NoInputs, params: Prompt) -> Steps[Picture]:
        yield 0.5
        return Image.new("RGB", (8, 8))


class FakeQueue(JobQueue):
    """Keeps what is sent. down: the broker does not answer."""

    def __init__(self) -> None:
        self.sent: list[str] = []  # ids of jobs
        self.sent_first: list[str] = []
        self.delays: list[float] = []
        self.down = False
        self.closed = False

    async def send(self, job: Job, delay_seconds: float = 0) -> None:
        await self.check()
        self.sent.append(job.id)
        self.delays.append(delay_seconds)

    async def send_first(self, job: Job) -> None:
        await self.check()
        self.sent_first.append(job.id)

    async def states(self, queues: Sequence[str]) -> dict[str, QueueState]:
        await self.check()
        return {queue: QueueState(len(self.sent), 0, 0, 0, 0.0) for queue in queues}

    async def check(self) -> None:
        if self.down:
            raise BrokerUnavailable("the broker does not answer")

    def close(self) -> None:
        self.closed = True
