"""The product with a small fake model for each kind of input and of result."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

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
)
from project.settings.loading import load_settings
from tests.fakes import ShadeModel

EXAMPLE = "Win a prize now"
MAX_LENGTH = 40


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


class Finder(StepModel[ImageInput, Faces]):
    """Finds a face in the middle of every picture that is not white."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Finds faces and noses."

    def steps(self, inputs: ImageInput, params: Any) -> Steps[Faces]:
        """Returns one face, or none."""
        yield 0.5
        width, height = inputs.image.size
        if np.asarray(inputs.image).min() == 255:
            return Faces(boxes=[], points=[])
        corners = (width / 4, height / 4, width * 3 / 4, height * 3 / 4)
        nose = Point(label="nose", x=width / 2, y=height / 2, box=0)
        return Faces(boxes=[Box.at("face", 0.9875, corners)], points=[nose])


class PictureAndQuestion(Inputs):
    """A picture, and what to say of it."""

    image: Picture
    question: str = Field("What is it?", description="About the picture.")


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


class Tags(Params):
    """tags: a list, which no field of the page holds."""

    tags: list[str] = Field(examples=[["a", "b"]], description="Any tags.")


class Tagged(StepModel[NoInputs, Picture, Tags]):
    """Demands a parameter that the page has no field for."""

    version = "1"
    licence = "MIT"
    weights = NO_WEIGHTS
    summary = "Paints white."

    def steps(self, inputs: NoInputs, params: Tags) -> Steps[Image.Image]:
        """Returns an RGB picture."""
        yield 0.5
        return Image.new("RGB", (8, 8), "white")


MODELS = [
    ShadeModel(),
    Verdict("verdict"),
    Mix("mix"),
    Clip("clip"),
    Finder("finder"),
    Answerer("answerer"),
    Noise("noise"),
    Tagged("tagged"),
]

app = create_app(load_settings(), MODELS)
