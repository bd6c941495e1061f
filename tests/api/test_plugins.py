"""Model files as their authors write them: all kinds of parameters, and files that are wrong."""

from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import Field
from starlette.testclient import TestClient

import project.models
from project.api.factory import create_app
from project.errors import ConfigurationError
from project.models import available, create
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel, ShadeParams

PATH = "/v1/models/shade/predictions"
IMAGE = {"content-type": "image/png"}


class Space(StrEnum):
    """A choice."""

    RGB = "rgb"
    HSV = "hsv"


class ManyParams(ShadeParams):
    """An enum and a list beside the number."""

    space: Space = Space.RGB
    weights: list[float] = Field(default=[1.0], max_length=3)


class ManyModel(ShadeModel):
    """A ShadeModel with more parameters."""


ManyModel.params = ManyParams


@pytest.fixture
def many():
    with TestClient(create_app(make_settings(), [ManyModel()])) as client:
        yield client


@pytest.fixture
def plugins(monkeypatch, tmp_path) -> Path:
    """A folder whose files count as models."""
    monkeypatch.setattr(project.models, "__path__", [str(tmp_path)])
    return tmp_path


def test_an_enum_is_written_out_in_the_schema_and_checked(many):
    """No reference that leads nowhere; a wrong choice is named."""
    parameters = many.get("/openapi.json").json()["paths"][PATH]["post"]["parameters"]
    space = next(item for item in parameters if item["name"] == "space")
    assert space["schema"]["enum"] == ["rgb", "hsv"]
    answer = many.post(f"{PATH}?space=cmyk", content=picture(), headers=IMAGE)
    assert answer.status_code == 422
    assert "space" in answer.json()["errors"]
    assert many.post(f"{PATH}?space=hsv", content=picture(), headers=IMAGE).status_code == 200


def test_a_list_may_be_given_in_the_query_in_a_form_and_in_json(many):
    """By repeating its name; a name that takes one value may not be repeated."""
    data = picture()
    assert many.post(f"{PATH}?weights=1&weights=2", content=data, headers=IMAGE).status_code == 200
    assert many.post(f"{PATH}?weights=1", content=data, headers=IMAGE).status_code == 200
    form = many.post(PATH, files={"image": data}, data={"weights": ["1", "2", "3"]})
    assert form.status_code == 200
    too_many = many.post(PATH, files={"image": data}, data={"weights": ["1"] * 4})
    assert "weights" in too_many.json()["errors"]
    twice = many.post(f"{PATH}?space=rgb&space=hsv", content=data, headers=IMAGE)
    assert twice.json()["errors"] == {"space": "sent more than once"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_like_it\n", "cannot be imported: ModuleNotFoundError"),
        ("def broken(:\n", "cannot be imported: SyntaxError"),
        ("1 / 0\n", "cannot be imported: ZeroDivisionError"),
        ("'''empty'''\n", "it has 0 models; write one subclass"),
    ],
)
def test_a_model_file_that_is_wrong_is_named_with_what_is_wrong(plugins, source, said):
    """The author reads one line."""
    (plugins / f"wrong_{abs(hash(source))}.py").write_text(source)
    (name,) = available()
    with pytest.raises(ConfigurationError, match=said):
        create([name])


def test_a_parameter_without_an_example_is_refused_at_the_start(plugins):
    """The documentation has a request that works."""
    (plugins / "demanding.py").write_text(
        "from project.models.base import NoInputs, NO_WEIGHTS, Params, Picture, StepModel\n"
        "class Demanding(Params):\n    strength: float\n"
        "class Demands(StepModel[NoInputs, Picture, Demanding]):\n"
        "    version, licence, summary, weights = '1', 'MIT', 'Demands.', NO_WEIGHTS\n"
        "    def steps(self, inputs, params):\n        yield 0.5\n"
    )
    with pytest.raises(ConfigurationError, match=r"strength is required; write Field\(examples"):
        create(["demanding"])
