"""The product with a small fake model for each kind of input and of result."""

from enum import StrEnum
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw
from pydantic import BaseModel

from project.api.factory import create_app
from project.models.base import (
    NO_WEIGHTS,
    Box,
    Boxes,
    Field,
    ImageInput,
    Inputs,
    InvalidInput,
    Label,
    NoInputs,
    Params,
    Picture,
    Point,
    Points,
    Reason,
    StepModel,
    Steps,
    TextLabel,
    picture,
    rectangle_on,
)
from project.settings.loading import load_settings
from tests.fakes import PaintModel
from tests.services.quick_app import quick_model

EXAMPLE = "Win a prize now"
MAX_LENGTH = 40
WHITE = 255


class Mail(Inputs):
    """A short mail."""

    text: str = Field(
        min_length=1, max_length=MAX_LENGTH, examples=[EXAMPLE], description="A mail."
    )


class Threshold(Params):
    """threshold: probability from which it is spam."""

    threshold: float = Field(0.5, ge=0, le=1, description="Probability from which it is spam.")


class Verdict(StepModel[Mail, TextLabel, Threshold]):
    """Thinks that every mail with a prize is spam."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Tells spam from mail."
    labels = ("spam", "mail")

    def steps(self, inputs: Mail, params: Threshold) -> Steps[TextLabel]:
        """Each word that is known adds to the sum."""
        yield 0.5
        known = {"prize": 3.0, "win": 1.5, "hello": -2.0}
        reasons = [
            Reason(text=word, weight=known[word.lower()])
            for word in inputs.text.split()
            if word.lower() in known
        ]
        odds = float(np.exp(sum(reason.weight for reason in reasons)))
        probability = odds / (1 + odds)
        is_spam = probability >= params.threshold
        return TextLabel(
            label="spam" if is_spam else "mail",
            probability=probability if is_spam else 1 - probability,
            reasons=sorted(reasons, key=lambda reason: -abs(reason.weight)),
        )


class ContentAndStyle(Inputs):
    """Two pictures."""

    content: Picture = picture(description="What is painted.")
    style: Picture = picture(description="How it is painted.")


class Ratio(Params):
    """ratio: of the style."""

    ratio: float = Field(0.5, ge=0, le=1, description="Share of the style.")


class Mix(StepModel[ContentAndStyle, Picture, Ratio]):
    """Lays one picture over another."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Mixes two pictures."

    def steps(self, inputs: ContentAndStyle, params: Ratio) -> Steps[Image.Image]:
        """Returns a picture of the content's size."""
        yield 0.5
        style = inputs.style.resize(inputs.content.size)
        return Image.blend(inputs.content, style, params.ratio)


class Margin(Params):
    """margin: what is clear."""

    margin: float = Field(0.1, ge=0, le=0.5, description="Share of the sides that becomes clear.")


class Clip(StepModel[ImageInput, Picture, Margin]):
    """Clears what is outside an ellipse."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Cuts an ellipse out of a picture."

    def steps(self, inputs: ImageInput, params: Margin) -> Steps[Image.Image]:
        """Returns an RGBA picture."""
        yield 0.5
        width, height = inputs.image.size
        left, top = round(width * params.margin), round(height * params.margin)
        if left * 2 >= width:
            raise InvalidInput("nothing would be left; choose a smaller margin")
        alpha = Image.new("L", inputs.image.size)
        ImageDraw.Draw(alpha).ellipse((left, top, width - left, height - top), fill=255)
        result = inputs.image.convert("RGBA")
        result.putalpha(alpha)
        return result


class Faces(Boxes, Points):
    """Boxes with a point each."""


class Count(Params):
    """count: of the faces that are found."""

    count: int = Field(1, ge=0, le=200, description="How many faces are found.")


class Finder(StepModel[ImageInput, Faces, Count]):
    """Finds faces of the same size in every picture that is not white, each to the lower right."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Finds faces and noses."

    def steps(self, inputs: ImageInput, params: Count) -> Steps[Faces]:
        """Returns as many faces as are asked for, or none."""
        yield 0.5
        width, height = inputs.image.size
        if np.asarray(inputs.image).min() == WHITE:
            return Faces(boxes=[], points=[])
        boxes, points = [], []
        for index in range(params.count):
            shift = 0.25 + index / 1000
            corners = (width * shift, height * shift, width * (shift + 0.5), height * (shift + 0.5))
            boxes.append(Box.at("face", 0.9875, corners))
            nose = (width * (shift + 0.25), height * (shift + 0.25))
            points.append(Point(label="nose", x=nose[0], y=nose[1], box=index))
        return Faces(boxes=boxes, points=points)


class PictureAndQuestion(Inputs):
    """A picture, and what to say of it."""

    image: Picture
    question: str = Field("What is it?", examples=["Why?"], description="About the picture.")


class Answerer(StepModel[PictureAndQuestion, Label]):
    """Answers every question with its length and the picture's width."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Answers questions."

    def steps(self, inputs: PictureAndQuestion, params: Any) -> Steps[Label]:
        """Returns a label without a probability."""
        yield 0.5
        return Label(label=f"{len(inputs.question)} and {inputs.image.width}")


class Size(Params):
    """size: of the picture."""

    size: int = Field(64, ge=8, le=512, description="Pixels of each side.")


class Noise(StepModel[NoInputs, Picture, Size]):
    """Takes nothing but its parameter."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Makes noise."

    def steps(self, inputs: NoInputs, params: Size) -> Steps[Image.Image]:
        """Returns an RGB picture, always the same."""
        yield 0.5
        pixels = np.random.default_rng(0).integers(0, 256, (params.size, params.size, 3))
        return Image.fromarray(pixels.astype(np.uint8))


class Masked(Inputs):
    """A picture, and a mask that may be left out."""

    image: Picture
    mask: Picture | None = picture(None, description="What is covered.")


class Sizes(BaseModel):
    """A result of the author's own."""

    names: list[str]
    mask: dict[str, int] | None


class Options(Params):
    """options: which only JSON can hold."""

    options: dict[str, int] | None = None


class Measure(StepModel[Masked, Sizes, Options]):
    """Says which pictures came."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Says which pictures came."

    def steps(self, inputs: Masked, params: Any) -> Steps[Sizes]:
        """Returns names and the mask's size."""
        yield 0.5
        if inputs.mask is None:
            return Sizes(names=["image"], mask=None)
        width, height = inputs.mask.size
        return Sizes(names=["image", "mask"], mask={"width": width, "height": height})


class Crop(Params):
    """A rectangle on the picture."""

    model_config = rectangle_on("image", "left", "top", "width", "height")

    left: float = Field(0.25, ge=0, le=1)
    top: float = Field(0.25, ge=0, le=1)
    width: float = Field(0.5, ge=0, le=1)
    height: float = Field(0.5, ge=0, le=1)


class Cropped(StepModel[ImageInput, Picture, Crop]):
    """Cuts a rectangle out."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Cuts a rectangle out of a picture."

    def steps(self, inputs: ImageInput, params: Crop) -> Steps[Image.Image]:
        """Returns an RGB picture of the rectangle's size."""
        yield 0.5
        width, height = inputs.image.size
        left, top = round(params.left * width), round(params.top * height)
        right, bottom = left + params.width * width, top + params.height * height
        return inputs.image.crop((left, top, max(left + 1, right), max(top + 1, bottom)))


class Mode(StrEnum):
    """Three choices."""

    FAST = "fast"
    FINE = "fine"
    BEST = "best"


class Knobs(Params):
    """A parameter of every kind that a schema can have."""

    ratio: float = Field(0.5, ge=0, le=1, description="A share.")
    count: int = Field(7, ge=0, le=100_000, description="Many steps.")
    even: int = Field(2, ge=0, le=100, multiple_of=2)
    seed: int | None = Field(None, ge=0, le=2**53 - 1)
    strength: float | None = Field(None, ge=1, le=20, description="Unset: the model's own.")
    mode: Mode = Mode.FAST
    size: Literal["xs", "s", "m", "l", "xl"] = "m"
    flag: bool = False
    name: str = Field("a", min_length=1, max_length=20, pattern="^[a-z]+$", examples=["fox", "cat"])
    note: str = Field("", max_length=500)
    tags: list[Literal["red", "green", "blue"]] = Field(["red"])
    words: list[str] = Field(default_factory=list)
    options: dict[str, int] | None = None


class Echoed(BaseModel):
    """What came."""

    values: dict[str, Any]


class Knobbed(StepModel[NoInputs, Echoed, Knobs]):
    """Gives its parameters back."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Gives its parameters back."

    def steps(self, inputs: NoInputs, params: Knobs) -> Steps[Echoed]:
        """Returns what was sent; refuses the name `no`."""
        yield 0.5
        if params.name == "no":
            raise InvalidInput("choose another name", fields={"name": "is taken"})
        return Echoed(values=params.model_dump(mode="json", exclude_unset=True))


MODELS = [
    quick_model(),
    Verdict("verdict"),
    Mix("mix"),
    Clip("clip"),
    Finder("finder"),
    Answerer("answerer"),
    Noise("noise"),
    Measure("measure"),
    Cropped("cropped"),
    Knobbed("knobbed"),
    PaintModel(),
]

app = create_app(load_settings(), MODELS)
