"""The contract of a model: what brackets say, what a mistake is answered with, what is derived."""

import subprocess
import sys
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel, ValidationError

import project.models
from project.errors import ConfigurationError
from project.models import available, create
from project.models.base import (
    NO_WEIGHTS,
    Array,
    BatchModel,
    Box,
    Boxes,
    Classes,
    Field,
    ImageInput,
    Inputs,
    Label,
    Model,
    NoInputs,
    NoParams,
    Params,
    Picture,
    Point,
    Points,
    StepModel,
    Steps,
    TextInput,
    TextLabel,
    picture,
    sent_size,
)
from project.models.base.inputs import fields_of, pictures_of, texts_of
from project.models.base.results import kinds_of

Q = TypeVar("Q", bound=Inputs)

HEAD = """
from typing import Any
from project.models.base import *

class Photo(Inputs):
    {field}

class Choice(Params):
    {parameter}

class Flip({base}):
    version, summary, {declared} = "1", "Upside down.", {values}
{methods}
"""
BATCH = """
    def preprocess(self, inputs, params): return None
    def forward(self, batch): return list(batch)
    def postprocess(self, output, inputs, params): return Label(label="x")
"""
NETS = "    def build_nets(self): return {}\n"
EXAMPLES = "    def net_examples(self): return {}\n"
STEPS = """
    def steps(self, inputs, params):
        yield 0.5
        return inputs.image
"""


@pytest.fixture
def plugin(monkeypatch, tmp_path):
    """Writes the one file that counts as a model, and gives its name."""
    monkeypatch.setattr(project.models, "__path__", [str(tmp_path)])
    names = iter(f"flip_{tmp_path.name}_{number}".lower() for number in range(100))

    def write(
        base: str = "BatchModel[Photo, Label, Choice]",
        *,
        field: str = "image: Picture",
        parameter: str = "strength: float = 1",
        declared: str = "licence, weights",
        values: str = '"MIT", NO_WEIGHTS',
        methods: str = BATCH,
        name: str | None = None,
    ) -> str:
        name = name or next(names)
        text = HEAD.format(
            base=base,
            field=field,
            parameter=parameter,
            declared=declared,
            values=values,
            methods=methods,
        )
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


@pytest.mark.parametrize("name", available())
def test_every_model_declares_what_is_shown_of_it(name):
    """Lists of models show these of every one."""
    (model,) = create([name])
    assert isinstance(model, Model)
    for value in (model.version, model.licence, model.weights.name, model.summary, model.backend):
        assert value
    assert model.slo_seconds > 0


def test_neither_a_shipped_model_nor_the_application_imports_torch():
    """A worker that serves compiled nets never does."""
    script = (
        "import sys; from project import models; models.create(models.available());"
        "import project.api.factory, project.jobs.worker_process, project.server.uvicorn_worker;"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_the_workers_inherit_starts_no_thread():
    """No thread survives the fork."""
    script = "import sys, threading, project.api.factory; sys.exit(threading.active_count() - 1)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"declared": "weights", "values": "NO_WEIGHTS"}, "Flip has no licence; write licence ="),
        ({"values": '"MIT", "none"'}, "Flip has no weights; write weights = Weights("),
        (
            {"base": "BatchModel"},
            "Flip does not say what goes in and what comes out; write class Flip(BatchModel",
        ),
        ({"base": "BatchModel[Label, Photo]"}, "does not say what goes in"),
        ({"base": "Model[Photo, Label]"}, "must say how it works; write class Flip(BatchModel["),
        (
            {"field": "count: int"},
            "Photo.count is no input; inputs are Picture and str, anything else is a field of",
        ),
        ({"field": "Image: Picture"}, "Photo.Image needs a name of lower-case letters"),
        (
            {"methods": BATCH.replace("postprocess", "afte")},
            "no postprocess; write def postprocess(self, output: Any, inputs: Photo, params: C",
        ),
        (
            {"methods": BATCH.replace("forward", "onward")},
            "Flip has neither build_net nor forward; write def build_net",
        ),
        (
            {"methods": BATCH + NETS + "    def build_net(self): return None\n"},
            "Flip has build_net and build_nets; keep build_net for one net",
        ),
        ({"methods": BATCH + NETS}, "Flip has build_nets and no net_examples; write def net_ex"),
        (
            {"methods": BATCH.replace("forward", "onward") + NETS + EXAMPLES},
            "Flip has build_nets and no forward; write def forward(self, batch: Array)",
        ),
        (
            {"methods": BATCH + "    precisions = ('int8',)\n"},
            "Flip has precisions that there are not; write precisions = ('bf16', 'f32')",
        ),
        (
            {"base": "StepModel[Photo, Picture, Choice]", "methods": BATCH},
            "has no steps; write def steps(self, inputs: Photo, params: Choice) -> Steps[Pic",
        ),
        (
            {
                "base": "StepModel[Photo, Picture, Choice]",
                "methods": "    def steps(self, inputs, params): return inputs.image",
            },
            "Flip.steps never yields; write yield 0.5",
        ),
        ({"parameter": "image: float = 1"}, "Choice.image has the name of an input"),
        ({"parameter": "quality: float = 1"}, "Choice.quality has the name of an input"),
        ({"parameter": "strength: float"}, "Choice.strength is required; write Field(examples"),
        (
            {"parameter": "strength: float = Field(examples=['a lot'])"},
            "Choice.strength has an example that is not valid",
        ),
        ({"name": "Flip"}, "project/models/Flip.py: rename it"),
        (
            {"methods": BATCH + "class Other(Flip): pass\nclass Third(Flip): pass"},
            "it has 2 models",
        ),
        ({"field": "image: Nothing"}, "cannot be imported: NameError"),
    ],
)
def test_a_mistake_is_told_at_the_start_in_one_line(plugin, changes, advice):
    """Its author reads what to write."""
    name = plugin(**changes)
    with pytest.raises(ConfigurationError) as told:
        create([name])
    assert advice in told.value.detail
    assert told.value.detail.startswith(f"project/models/{name}.py")
    assert "\n" not in told.value.detail


def test_a_model_of_either_kind_is_one_file(plugin):
    """Found by the file's name, in the order of the setting."""
    batch = plugin()
    steps = plugin("StepModel[Photo, Picture, Choice]", methods=STEPS)
    models = create([steps, batch], {batch: "elsewhere"})
    assert [model.name for model in models] == [steps, batch]
    assert isinstance(models[0], StepModel)
    assert isinstance(models[1], BatchModel)
    assert models[1].source == "elsewhere"


class Base(BatchModel[Q, Boxes, NoParams]):
    """What two detectors of an author share."""

    version, licence, summary, weights = "1", "MIT", "Nothing.", NO_WEIGHTS

    def preprocess(self, inputs: Q, params: NoParams) -> Array:
        return np.zeros(1)

    def forward(self, batch: Array) -> Any:
        return list(batch)

    def postprocess(self, output: Any, inputs: Q, params: NoParams) -> Boxes:
        return Boxes(boxes=[])


class Detector(Base[ImageInput]):
    """One of them."""


class Painter(StepModel[TextInput, Picture]):
    """Paints a text."""

    version, licence, summary, weights = "1", "MIT", "Paints.", NO_WEIGHTS

    def steps(self, inputs: TextInput, params: NoParams) -> Steps[Picture]:
        yield 0.5
        return Image.new("RGB", (8, 8))


def test_brackets_say_what_goes_in_and_out():
    """Through an author's own generic base, and with the parameters left out."""
    assert (Detector.inputs, Detector.result, Detector.params) == (ImageInput, Boxes, NoParams)
    assert (Painter.inputs, Painter.result, Painter.params) == (TextInput, Image.Image, NoParams)
    assert (Detector.slo_seconds, Painter.slo_seconds) == (0.5, 5.0)


class Many(Inputs):
    """All that an input can be."""

    photo: Picture = picture(description="What is looked at.", useful_side=256)
    mask: Picture | None = None
    text: str = Field(max_length=50, examples=["a fox"], description="What to look for.")
    note: str = "nothing"


def test_inputs_are_pictures_and_texts_required_or_not():
    """Names, bounds and examples come from the class."""
    fields = fields_of(Many)
    assert pictures_of(Many) == ("photo", "mask")
    assert texts_of(Many) == ("text", "note")
    assert [name for name, field in fields.items() if field.required] == ["photo", "text"]
    assert (fields["photo"].useful_side, fields["mask"].useful_side) == (256, None)
    assert fields["text"].max_length == 50
    assert fields["text"].examples == ("a fox",)
    assert fields["note"].examples == ("nothing",)
    assert fields_of(NoInputs) == {}


def test_inputs_check_what_they_are_given():
    """As any Pydantic class."""
    image = Image.new("RGB", (2, 2))
    assert Many(photo=image, text="x").mask is None
    with pytest.raises(ValidationError):
        Many(photo="no picture", text="x")
    with pytest.raises(ValidationError):
        Many(photo=image, text="x" * 51)


class FacePoints(Points, Boxes):
    """Two kinds, and a field of its own."""

    count: int


def test_results_have_kinds_that_can_be_combined():
    """The page and the command line know these and nothing of the model."""
    assert kinds_of(Classes) == ["class"]
    assert kinds_of(FacePoints) == ["box", "point"]
    assert kinds_of(TextLabel) == ["reason", "label"]
    assert kinds_of(Image.Image) == ["picture"]
    assert kinds_of(BaseModel) == []
    schema = FacePoints.model_json_schema()
    assert {schema["$defs"][name]["x-kind"] for name in ("Box", "Point")} == {"box", "point"}


BOXES = [Box.at("cat", 0.3, (1, 2, 30, 40)), Box.at("dog", 0.9, np.array([5, 6, 50, 60]))]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Classes.top(np.array([0.1, 0.7, 0.2]), ["a", "b", "c"], 2), ("b", 0.7)),
        (Boxes(boxes=BOXES), ("dog", 0.9)),
        (Boxes(boxes=[]), ("nothing", None)),
        (Label(label="sharp"), ("sharp", None)),
        (TextLabel(label="spam", probability=0.98), ("spam", 0.98)),
        (Points(points=[]), None),
        (Image.new("RGB", (2, 2)), None),
    ],
)
def test_standard_results_say_what_they_are_counted_as(result, expected):
    """An author writes no top_prediction for them; a detector gone blind shows."""
    assert Detector("detector").top_prediction(result) == expected


def test_boxes_and_points_are_drawn_on_the_picture_as_sent():
    """In colours by label; the input stays as it was."""
    image = Image.new("L", (100, 80), 255).convert("RGB")
    model = Detector("detector")
    assert model.can_draw()
    assert not Painter.can_draw()
    points = [Point(label="nose", x=80, y=70, box=0)]
    result = FacePoints(boxes=BOXES, points=points, count=2)
    drawing = model.draw(ImageInput(image=image), result)
    assert drawing.size == image.size
    assert image.getextrema() == ((255, 255),) * 3
    assert drawing.getpixel((1, 35)) != (255, 255, 255)  # an edge of the first box
    assert drawing.getpixel((80, 70)) != (255, 255, 255)  # the point
    assert drawing.getpixel((99, 0)) == (255, 255, 255)


def test_a_box_outside_the_picture_or_turned_round_does_no_harm():
    """A net may give any number."""
    image = Image.new("RGB", (20, 20))
    boxes = [Box.at("a", 1, (-50, -50, 500, 500)), Box.at("b", 1, (10, 10, 5, 5))]
    assert Detector("d").draw(ImageInput(image=image), Boxes(boxes=boxes)).size == (20, 20)


def test_a_picture_knows_the_size_that_was_sent():
    """Whatever the decoder made of it; one that was made here has its own."""
    image = Image.new("RGB", (4, 3))
    assert sent_size(image) == (4, 3)
    image.info["sent_size"] = (40, 30)
    assert sent_size(image.resize((2, 2))) == (40, 30)


class Found(BaseModel):
    """A result with a picture in it."""

    mask: Picture
    share: float


def test_a_picture_in_a_result_is_a_data_url_in_json():
    """Its class says so to every reader of the schema."""
    text = Found(mask=Image.new("L", (2, 2)), share=0.5).model_dump_json()
    assert '"mask":"data:image/png;base64,' in text
    assert Found.model_json_schema()["properties"]["mask"]["x-kind"] == "picture"


class Sizes(Params):
    """For a type check alone: a default and a bound."""

    side: int = Field(5, ge=1)


def test_parameters_are_frozen_and_closed():
    """A typing error of a client is an error."""
    with pytest.raises(ValidationError):
        Sizes(side=0)
    with pytest.raises(ValidationError):
        Sizes.model_validate({"sides": 3})


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_parameters_are_finite_numbers(number):
    """Whether they have bounds or not: JSON could not hold them, in a job's row or a stream."""

    class Unbounded(Params):
        gain: float = 1.0

    with pytest.raises(ValidationError, match="finite"):
        Unbounded(gain=number)
