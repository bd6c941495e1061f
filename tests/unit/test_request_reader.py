"""What stands beside and around the image: base64 in all its dress, and the parameters."""

import base64
import binascii
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from project.api.requests.reader import decode_base64, validate
from project.errors import InvalidImage, InvalidInput
from project.models.base import NoParams
from project.models.classification import TopK

PREFIXES = (
    "",
    "data:image/png;base64,",
    "data:;base64,",
    "data:image/svg+xml;charset=utf-8;base64,",
    "data:application/x.y-z;base64,",
)


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
