"""The contract of long models: found beside quick ones, run in steps, checked before they serve."""

from collections.abc import Generator, Mapping
from typing import TypeVar

import pytest
from PIL import Image
from pydantic import BaseModel

import project.models
from project.errors import ConfigurationError
from project.models import available, create
from project.models.base import Declared, LongModel, Model, NoParams

T = TypeVar("T")

LONG = '''"""A long model in few lines."""
from PIL import Image
from project.models.base import Params
from project.models.base import LongModel

class Settings(Params):
    {params}

class Flip(LongModel[Settings, Image.Image]):
    version, licence, weights, summary = "1", "MIT", "none", "Upside down."
    params = Settings
    result = Image.Image
    images = {images}

    def load(self):
        pass

    def steps(self, images, params):
        yield 0.5
        return images["image"].rotate(180)
'''


def finished(steps: Generator[float, None, T]) -> tuple[list[float], T]:
    """What a model yielded, and what it returned."""
    shares = []
    while True:
        try:
            shares.append(next(steps))
        except StopIteration as stop:
            return shares, stop.value


@pytest.fixture
def plugin(monkeypatch, tmp_path):
    """Writes the one file that counts as a model, and gives its name."""
    monkeypatch.setattr(project.models, "__path__", [str(tmp_path)])

    def write(images: str = "('image',)", params: str = "pass") -> str:
        name = f"flip_{abs(hash((images, params)))}"
        (tmp_path / f"{name}.py").write_text(LONG.format(images=images, params=params))
        return name

    return write


class Count(BaseModel):
    """How many steps were made."""

    steps: int


class Counting(LongModel[NoParams, Count]):
    """Takes no images; hooks show whether it was left in order."""

    version = "1"
    licence = "MIT"
    weights = "none"
    summary = "Counts."
    images = ()
    result = Count

    def __init__(self) -> None:
        super().__init__("counting")
        self.left = False

    def load(self) -> None:
        pass

    def steps(
        self, images: Mapping[str, Image.Image], params: NoParams
    ) -> Generator[float, None, Count]:
        try:
            for step in range(1, 4):
                yield step / 4
        finally:
            self.left = True
        return Count(steps=3)


def test_models_of_both_kinds_are_made_by_name_in_that_order():
    """One setting names them all."""
    removal, classification = create(["background_removal", "classification"])
    assert isinstance(removal, LongModel)
    assert not isinstance(removal, Model)
    assert isinstance(classification, Model)
    assert not isinstance(classification, LongModel)
    assert [removal.name, classification.name] == ["background_removal", "classification"]


@pytest.mark.parametrize("name", available())
def test_every_model_declares_what_is_shown_of_it(name):
    """Lists of models show these of either kind."""
    (model,) = create([name])
    assert isinstance(model, Declared)
    for value in (model.version, model.licence, model.weights, model.summary, model.backend):
        assert value
    required = [key for key, field in model.params.model_fields.items() if field.is_required()]
    assert not required or model.images == ()


def test_the_author_of_a_long_model_writes_one_file(plugin):
    """As short as the one of a quick model."""
    (model,) = create([plugin()])
    image = Image.new("RGB", (2, 1), "white")
    image.putpixel((0, 0), (255, 0, 0))
    shares, result = finished(model.steps({"image": image}, model.params()))
    assert shares == [0.5]
    assert result.getpixel((1, 0)) == (255, 0, 0)


def test_steps_yield_the_share_done_and_return_the_result():
    """A job reports what is yielded and keeps what is returned."""
    assert finished(Counting().steps({}, NoParams())) == ([0.25, 0.5, 0.75], Count(steps=3))


def test_a_model_that_is_left_between_steps_can_tidy_up():
    """As a cancelled job leaves it."""
    model = Counting()
    steps = model.steps({}, NoParams())
    next(steps)
    steps.close()
    assert model.left


@pytest.mark.parametrize(
    ("images", "params", "advice"),
    [
        ("('image')", "pass", r"images must be a tuple"),
        ("('image', 'image')", "pass", "a name of its own.*not image"),
        ("('my picture',)", "pass", "of letters, digits and _.*not my picture"),
        ("('image',)", "image: float = 1", "that no parameter has; not image"),
        ("('image',)", "strength: float", "give a default to the parameters strength"),
    ],
)
def test_a_declaration_that_cannot_be_served_is_refused_at_the_start(
    plugin, images, params, advice
):
    """Its author reads in one line what to change."""
    with pytest.raises(ConfigurationError, match=advice):
        create([plugin(images, params)])


def test_a_model_of_text_alone_may_demand_a_parameter(plugin):
    """A request without a picture must have something."""
    (model,) = create([plugin("()", "prompt: str")])
    assert model.params(prompt="a cat").prompt == "a cat"
