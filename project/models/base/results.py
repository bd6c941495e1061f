"""Standard results: what their kinds mean is known to the page, the command line and the metrics.

A result has several kinds by inheriting several, and fields of its own beside them.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, ConfigDict, Field

from project.models.base.arrays import Array

NOTHING = "nothing"  # the label of a result without a box
COLOURS = ("#e4572e", "#17bebb", "#ffc914", "#76b041", "#8963ba", "#f25f9c")  # by label
LINE_SHARE = 1 / 300  # of the longer side: the width of a drawn line

TopPrediction = tuple[str, float | None]
"""A label and its confidence, 0 to 1; None where the model has none."""


class Class(BaseModel):
    """One class and its probability."""

    model_config = ConfigDict(json_schema_extra={"x-kind": "class"})

    label: str = Field(description="Name of the class, its synonyms after commas.")
    index: int = Field(description="Number of the class.")
    probability: float = Field(description="0 to 1; those of all classes add up to 1.")


class Classes(BaseModel):
    """The most probable classes, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"classes": [{"label": "Egyptian cat", "index": 285, "probability": 0.61}]},
        }
    )

    classes: Sequence[Class]

    @classmethod
    def top(cls, probabilities: Array, labels: Sequence[str], count: int) -> Self:
        """The most probable classes. probabilities: (len(labels),), 0 to 1."""
        best = np.argsort(-probabilities, kind="stable")[:count]
        return cls(
            classes=[
                Class(label=labels[i], index=int(i), probability=round(float(probabilities[i]), 6))
                for i in best
            ]
        )


class Box(BaseModel):
    """One object. Pixels of the upright picture as it was sent, from its upper left corner."""

    model_config = ConfigDict(json_schema_extra={"x-kind": "box"})

    label: str
    score: float = Field(description="0 to 1.")
    x1: float = Field(description="Left edge.")
    y1: float = Field(description="Upper edge.")
    x2: float = Field(description="Right edge.")
    y2: float = Field(description="Lower edge.")

    @classmethod
    def at(cls, label: str, score: float, corners: Any) -> Self:
        """A box. corners: (4,) left, upper, right and lower edge, pixels."""
        x1, y1, x2, y2 = (round(float(it), 2) for it in corners)
        return cls(label=label, score=round(float(score), 4), x1=x1, y1=y1, x2=x2, y2=y2)


class Boxes(BaseModel):
    """Objects, the best first."""

    boxes: Sequence[Box]


class Point(BaseModel):
    """A named point. Pixels of the upright picture as it was sent."""

    model_config = ConfigDict(json_schema_extra={"x-kind": "point"})

    label: str
    x: float
    y: float
    box: int | None = Field(None, description="Index of the box that it belongs to.")


class Points(BaseModel):
    """Named points."""

    points: Sequence[Point]


class Label(BaseModel):
    """One label. A probability of null: the model has none."""

    model_config = ConfigDict(json_schema_extra={"x-kind": "label"})

    label: str
    probability: float | None = Field(None, description="0 to 1.")


class Reason(BaseModel):
    """A part of a text that spoke for the label."""

    model_config = ConfigDict(json_schema_extra={"x-kind": "reason"})

    text: str
    weight: float = Field(description="What it added to the label's score.")


class TextLabel(Label):
    """A label of a text, and what in it weighed most."""

    reasons: Sequence[Reason] = Field(default=(), description="The heaviest first.")


KINDS: dict[str, type[BaseModel]] = {
    "class": Classes,
    "box": Boxes,
    "point": Points,
    "reason": TextLabel,
    "label": Label,
}


def kinds_of(result: type[Any]) -> list[str]:
    """The kinds of a result: those of KINDS, or `picture`; none for a class of the author's own."""
    if issubclass(result, Image.Image):
        return ["picture"]
    return [kind for kind, standard in KINDS.items() if issubclass(result, standard)]


def is_drawable(result: type[Any]) -> bool:
    """Whether `draw_on` has something to draw."""
    return issubclass(result, Boxes | Points)


def top_prediction_of(result: Any) -> TopPrediction | None:
    """The label and confidence that a standard result is counted with; None for any other."""
    if isinstance(result, Classes) and result.classes:
        return result.classes[0].label, result.classes[0].probability
    if isinstance(result, Label):
        return result.label, result.probability
    if isinstance(result, Boxes):
        if not result.boxes:  # so that a detector that has gone blind is seen
            return NOTHING, None
        best = max(result.boxes, key=lambda box: box.score)
        return best.label, best.score
    return None


def draw_on(image: Image.Image, result: Any) -> Image.Image:
    """Draw the boxes and points of a result on a copy of the picture. image: as it was sent."""
    drawing = image.convert("RGB")
    if drawing is image:
        drawing = image.copy()
    pen = ImageDraw.Draw(drawing)
    width = max(2, round(max(drawing.size) * LINE_SHARE))
    colours: dict[str, str] = {}
    for box in result.boxes if isinstance(result, Boxes) else ():
        colour = colours.setdefault(box.label, COLOURS[len(colours) % len(COLOURS)])
        corners = (box.x1, box.y1, max(box.x1, box.x2), max(box.y1, box.y2))
        pen.rectangle(corners, outline=colour, width=width)
        _caption(pen, box, colour, 5 * width)
    for point in result.points if isinstance(result, Points) else ():
        colour = colours.setdefault(point.label, COLOURS[len(colours) % len(COLOURS)])
        pen.circle((point.x, point.y), 2 * width, fill=colour, outline="white")
    return drawing


def _caption(pen: ImageDraw.ImageDraw, box: Box, colour: str, size: int) -> None:
    """Write label and score on a plate above a box, or inside where there is no room above."""
    font = ImageFont.load_default(max(10, size))
    text = f"{box.label} {box.score:.2f}"
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 6
    y = box.y1 - height if box.y1 >= height else box.y1
    pen.rectangle((box.x1, y, box.x1 + width, y + height), fill=colour)
    pen.text((box.x1 + 3 - left, y + 3 - top), text, fill="black", font=font)
