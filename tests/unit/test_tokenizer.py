"""The tokenizer: known words become tokens, all else is left out, whatever the text is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project.models.nets.prompt_encoder import PADDING
from project.models.text_to_image_parts.tokenizer import BEGINNING, LENGTH, Tokenizer

KNOWN = ["a", "on", "fox", "cherry", "tomato", "bus", "glasses", "blue"]
TOKENIZER = Tokenizer(KNOWN)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a fox on blue", ["a", "fox", "on", "blue"]),
        ("A Fox, on: BLUE!", ["a", "fox", "on", "blue"]),
        ("two foxes, cherries and tomatoes", ["fox", "cherry", "tomato"]),
        ("a bus, buses, glasses", ["a", "bus", "bus", "glasses"]),
        ("firefox boxes blues s es ies", ["blue"]),
        ("fox_blue fox2blue fox\u200bblue", ["fox", "blue"] * 3),
        ("", []),
    ],
)
def test_known_words_are_read_in_their_order(text, read):
    """In any case, in the plural, between any signs; never as a part of another word."""
    assert TOKENIZER.read(text) == read


@given(st.text(max_size=500))
def test_any_text_becomes_as_many_numbers_that_the_net_has(text):
    """No character and no length of a prompt is a fault of ours."""
    tokens = TOKENIZER.tokens(text)
    assert len(tokens) == LENGTH
    assert tokens[0] == BEGINNING
    assert all(PADDING <= token < len(TOKENIZER) for token in tokens)


@given(st.lists(st.sampled_from(KNOWN), max_size=LENGTH - 1))
def test_known_words_are_told_apart(words):
    """A number for each, and nothing after the last."""
    numbers = [token for token in TOKENIZER.tokens(" ".join(words))[1:] if token != PADDING]
    assert [KNOWN[number - BEGINNING - 1] for number in numbers] == words


def test_what_is_beyond_the_length_is_left_out():
    """The first words count."""
    assert TOKENIZER.tokens("fox " * 400) == [
        BEGINNING,
        *[TOKENIZER.tokens("fox")[1]] * (LENGTH - 1),
    ]
