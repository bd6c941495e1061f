"""One small model for each combination of what goes in and what comes out."""

from typing import Any

import numpy as np
from PIL import Image

from project.models.base import (
    NO_WEIGHTS,
    Array,
    BatchModel,
    Box,
    Boxes,
    Field,
    ImageInput,
    Inputs,
    InvalidInput,
    Label,
    NoInputs,
    NoParams,
    Params,
    Picture,
    Point,
    Points,
    Reason,
    StepModel,
    Steps,
    TextInput,
    TextLabel,
    sent_size,
)


class Echo(BatchModel[TextInput, Label]):
    """Text in: as short as a model can be."""

    version, licence, summary, weights = "1", "MIT", "Says it again.", NO_WEIGHTS

    def preprocess(self, inputs: TextInput, params: NoParams) -> Array:
        return np.zeros(1)

    def forward(self, batch: Array) -> Any:
        return list(batch)

    def postprocess(self, output: Any, inputs: TextInput, params: NoParams) -> Label:
        return Label(label=inputs.text)


class Spots(Points, Boxes):
    """Two kinds in one result."""


class Search(Params):
    """least: score from which a box counts."""

    least: float = Field(0, ge=0, le=1, description="Least score.")


class Look(BatchModel[ImageInput, Spots, Search]):
    """Picture in, boxes and points out: the whole picture, and its middle."""

    version, licence, summary, weights = "1", "MIT", "Sees a picture.", NO_WEIGHTS
    labels = ("picture",)

    def preprocess(self, inputs: ImageInput, params: Search) -> Array:
        return np.asarray(inputs.image.convert("L").resize((4, 4)))

    def forward(self, batch: Array) -> Any:
        return list(batch.mean(axis=(1, 2)) / 255)

    def postprocess(self, output: Any, inputs: ImageInput, params: Search) -> Spots:
        width, height = sent_size(inputs.image)
        if output < params.least:
            return Spots(boxes=[], points=[])
        box = Box.at("picture", output, (0, 0, width - 1, height - 1))
        return Spots(boxes=[box], points=[Point(label="middle", x=width / 2, y=height / 2, box=0)])


class Question(Inputs):
    """A picture, a text, and more of both that may be left out."""

    image: Picture
    text: str = Field(min_length=1, max_length=20, examples=["a fox"])
    note: str = Field("nothing", max_length=20)
    mask: Picture | None = None


class Answer(StepModel[Question, TextLabel]):
    """Pictures and texts in, a label with reasons out, in steps."""

    version, licence, summary, weights = "1", "MIT", "Answers.", NO_WEIGHTS

    def steps(self, inputs: Question, params: NoParams) -> Steps[TextLabel]:
        yield 0.5
        if inputs.text == "nonsense":
            raise InvalidInput("ask something", fields={"text": "is nonsense"})
        reasons = [Reason(text=inputs.text, weight=1), Reason(text=inputs.note, weight=0.5)]
        label = "masked" if inputs.mask else "plain"
        return TextLabel(label=label, probability=0.75, reasons=reasons)


class Shape(Params):
    """side: of the square, pixels."""

    side: int = Field(16, ge=8, le=64, description="Pixels.")


class Pattern(StepModel[NoInputs, Picture, Shape]):
    """Nothing in, a picture out, half of it clear."""

    version, licence, summary, weights = "1", "MIT", "A square.", NO_WEIGHTS

    def steps(self, inputs: NoInputs, params: Shape) -> Steps[Picture]:
        yield 0.5
        image = Image.new("RGBA", (params.side, params.side), (0, 0, 0, 0))
        image.paste((200, 0, 0, 255), (0, 0, params.side // 2, params.side))
        return image
