"""What stands beside and around the image: base64 in all its dress, and the parameters."""

import base64
import binascii
import textwrap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from project.api.requests import reader
from project.api.requests.reader import decode_base64
from project.errors import InvalidImage, InvalidInput
from project.models.base import Inputs, NoInputs, NoParams, Params, Picture
from project.models.classification import TopK
from tests.fakes import ShadeModel

MAX_TEXT = 50
PREFIXES = (
    "",
    "data:image/png;base64,",
    "data:;base64,",
    "data:image/svg+xml;charset=utf-8;base64,",
    "data:application/x.y-z;base64,",
)


class Letter(Inputs):
    """Two texts beside a picture."""

    image: Picture
    text: str = Field(min_length=1, max_length=100)
    note: str = Field("", max_length=5)


def model_of(params: type[Params], inputs: type[Inputs] = NoInputs) -> ShadeModel:
    """A model that takes these."""
    model = ShadeModel()
    model.params, model.inputs = params, inputs
    return model


def validate(params: type[Params], values: dict[str, Any]) -> Params:
    """The parameters alone."""
    return reader.validate(model_of(params), {}, dict(values), max_text_length=MAX_TEXT).params


@settings(max_examples=100)
@given(data=st.binary(max_size=300), prefix=st.sampled_from(PREFIXES), width=st.integers(1, 80))
def test_base64_is_read_however_it_is_dressed(data, prefix, width):
    """With a data-URL prefix or without, in one line or in many, ended as Unix or Windows do."""
    text = base64.b64encode(data).decode()
    for separator in ("\n", "\r\n", " ", "\t"):
        assert decode_base64(prefix + separator.join(textwrap.wrap(text, width))) == data


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "abc",
        "====",
        "ab=c",
        "%%%%",
        "QUJDé",
        "\ud800",
        "data:image/png,QUJD",
        "data:image/png;base64,*",
        "data:image/png;base64,data:image/png;base64,QUJD",
        "QUJ_-w==",  # the URL alphabet would be decoded to other bytes in silence
        "\0QUJD",
    ],
)
def test_what_is_not_base64_is_refused_with_the_command_that_makes_it(text):
    """Nothing is dropped in silence: a damaged text is no picture."""
    with pytest.raises(InvalidImage, match="base64 -w0"):
        decode_base64(text)


@settings(max_examples=200)
@given(text=st.text(max_size=60))
def test_any_text_is_decoded_as_the_standard_says_or_refused(text):
    """No other error comes out."""
    try:
        decoded = decode_base64(text)
    except InvalidImage:
        return
    plain = "".join(text.split())
    plain = plain.split("base64,", 1)[-1] if plain.startswith("data:") else plain
    assert base64.b64encode(decoded).decode().rstrip("=")[:-1] == plain.rstrip("=")[:-1]
    assert binascii.a2b_base64(plain) == decoded


def test_parameters_come_as_text_or_as_numbers():
    """A query and a form know only text."""
    assert validate(TopK, {"top_k": "7"}) == validate(TopK, {"top_k": 7}) == TopK(top_k=7)
    assert validate(TopK, {}).top_k == 5


@pytest.mark.parametrize(
    "value", [0, 101, -1, "many", "", "1.5", 1.5, None, [], {}, "9" * 50, "٣x"]
)
def test_a_wrong_value_is_named(value):
    """The caller sees which parameter, and which there are."""
    with pytest.raises(InvalidInput, match="there are: top_k") as refused:
        validate(TopK, {"top_k": value})
    assert list(refused.value.fields) == ["top_k"]


def test_all_wrong_parameters_are_named_at_once_and_bounded():
    """No one corrects a request piece by piece, and no one is sent a novel."""
    with pytest.raises(InvalidInput) as refused:
        validate(TopK, {"top_k": 0, "topk": 3, "colour": "red"})
    assert set(refused.value.fields) == {"top_k", "topk", "colour"}
    with pytest.raises(InvalidInput) as refused:
        validate(TopK, {f"{number:03}" + "x" * 1000: 1 for number in range(500)})
    assert len(refused.value.fields) == 32
    assert max(map(len, refused.value.fields)) == 100


def test_what_was_sent_is_not_repeated_in_the_error():
    """A secret put in the wrong place stays out of logs and documents."""
    with pytest.raises(InvalidInput) as refused:
        validate(TopK, {"top_k": "hunter2"})
    assert "hunter2" not in str(refused.value.fields) + refused.value.detail


def test_a_model_without_parameters_says_so():
    """`there are: none` is clearer than an empty list."""
    with pytest.raises(InvalidInput, match="there are: none"):
        validate(NoParams, {"x": 1})


def test_texts_and_parameters_are_told_apart():
    """Both come by name; a text that is not sent has its default later, with the pictures."""
    values = {"text": "hello", "top_k": "3"}
    asked = reader.validate(
        model_of(TopK, Letter), {"image": b"x"}, values, max_text_length=MAX_TEXT
    )
    assert asked.raw == {"image": b"x", "text": "hello"}
    assert asked.params == TopK(top_k=3)


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({}, {"text": "Field required"}),
        ({"text": ""}, {"text": "at least 1 character"}),
        ({"text": "x" * 51}, {"text": "has 51 characters; send at most 50"}),
        ({"text": "x", "note": "too long"}, {"note": "at most 5 characters"}),
        ({"text": 5}, {"text": "valid string"}),
        ({"text": None}, {"text": "Field required"}),
        ({"text": "", "top_k": 0, "x": 1}, {"text": "at least", "top_k": "greater", "x": "Extra"}),
    ],
)
def test_all_faults_of_texts_and_parameters_come_at_once(values, faults):
    """And all names that there are."""
    advice = "correct the inputs and parameters named in errors; there are: text, note, top_k"
    with pytest.raises(InvalidInput, match=advice) as refused:
        reader.validate(model_of(TopK, Letter), {"image": b"x"}, values, max_text_length=MAX_TEXT)
    assert refused.value.fields.keys() == faults.keys()
    for name, fault in faults.items():
        assert fault in refused.value.fields[name]


@pytest.mark.parametrize(("given", "fault"), [("0", "greater"), ("101", "less"), ("x", "integer")])
def test_the_quality_of_a_picture_is_checked_with_the_parameters(given, fault):
    """It is a number of per cent, and no parameter of the model."""
    model = model_of(TopK)
    asked = reader.validate(
        model, {}, {"quality": "70"}, max_text_length=MAX_TEXT, takes_quality=True
    )
    assert (asked.quality, asked.params) == (70, TopK())
    with pytest.raises(InvalidInput) as refused:
        reader.validate(
            model, {}, {"quality": given, "top_k": 0}, max_text_length=MAX_TEXT, takes_quality=True
        )
    assert fault in refused.value.fields["quality"]
    assert "top_k" in refused.value.fields
    with pytest.raises(InvalidInput, match="there are: top_k"):
        reader.validate(model, {}, {"quality": 70}, max_text_length=MAX_TEXT)
