"""A model of a command runs as at the server: its parameters, its weights, its progress."""

from collections.abc import Iterator

import pytest

import project.models
from project.cli.inputs import Item
from project.cli.local_model import find_model, loaded, local_settings, takes_of, values_of
from project.errors import ConfigurationError, InvalidInput
from project.observability.logging import configure_logging
from tests.commands import PLUGINS
from tests.conftest import make_settings, picture
from tests.plugins.mail import Mail
from tests.plugins.mix import Mix

pytestmark = pytest.mark.anyio
SETTINGS = local_settings(make_settings())


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """A command sends its log to stderr; other tests of this process read stdout."""
    yield
    configure_logging(make_settings())


async def test_a_model_of_steps_reports_what_share_is_done(tmp_path):
    """For the bar."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(picture())
    item = Item("a", "a", {"first": tmp_path / "a", "second": tmp_path / "b"})
    shares: list[float] = []
    async with loaded(Mix("mix"), SETTINGS) as model:
        prediction = await model.predict(item, {}, "image/webp", shares.append)
    assert shares == [0.0, 0.25, 0.75]
    assert prediction.media_type == "image/webp"
    assert prediction.result.size == (32, 32)


async def test_no_result_is_from_a_cache():
    """The author may have changed the code, but not the version."""
    seen = []

    class Counted(Mail):
        def preprocess(self, inputs, params):
            seen.append(inputs.text)
            return super().preprocess(inputs, params)

    settings = local_settings(make_settings(result_cache="memory"))
    async with loaded(Counted("mail"), settings) as model:
        for _ in range(2):
            prediction = await model.predict(Item("x", "x", {"text": "my prize"}), {})
            assert prediction.cached is None
    assert seen.count("my prize") == 2


async def test_a_text_is_validated_as_that_of_a_request():
    """By its own bounds, and by those of the settings."""
    settings = local_settings(make_settings(max_text_length=10))
    async with loaded(Mail("mail"), settings) as model:
        for text, said in (("", "at least 1 character"), ("x" * 11, "at most 10")):
            with pytest.raises(InvalidInput) as caught:
                await model.predict(Item("x", "x", {"text": text}), {})
            assert said in caught.value.fields["text"]


def test_parameters_are_validated_before_anything_is_loaded():
    """A list by repeating its name; the inputs are not known yet, and so not missing."""
    values = values_of(Mail("mail"), [("tags", "a"), ("tags", "b"), ("word", "x")], SETTINGS)
    assert values == {"tags": ["a", "b"], "word": "x"}
    with pytest.raises(InvalidInput) as caught:
        values_of(Mail("mail"), [("colour", "red")], SETTINGS)
    assert "colour" in caught.value.fields


def test_a_picture_as_the_result_has_a_quality():
    """As at the server, where `Accept` asks for a JPEG."""
    assert values_of(Mix("mix"), [("quality", "20")], SETTINGS) == {"quality": "20"}
    with pytest.raises(InvalidInput):
        values_of(Mix("mix"), [("quality", "0")], SETTINGS)
    with pytest.raises(InvalidInput):
        values_of(Mail("mail"), [("quality", "20")], SETTINGS)


def test_a_model_has_the_weights_of_its_setting():
    """<NAME>_WEIGHTS."""
    settings = local_settings(make_settings(text_to_image_weights="a/pipeline"))
    assert find_model(settings, "text_to_image").source == "a/pipeline"


def test_inputs_are_those_that_the_model_declares(monkeypatch):
    """In its order, with those that may be left out."""
    monkeypatch.setattr(project.models, "__path__", [str(PLUGINS)])
    takes = takes_of(find_model(SETTINGS, "mix"))
    assert [(spec.name, spec.kind, spec.required) for spec in takes] == [
        ("first", "image", True),
        ("second", "image", False),
    ]
    with pytest.raises(ConfigurationError, match=r"no file project/models/gone\.py"):
        find_model(SETTINGS, "gone")
