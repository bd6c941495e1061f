"""text_to_image, its demo: it draws what it is asked for, the same for the same seed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from project.errors import InvalidInput
from project.models import create
from project.models.base import NoInputs
from project.models.text_to_image import MAX_SEED, Prompt
from project.models.text_to_image_parts.demo import SIDE
from tests.steps import finished
from training.emoji_names import things
from training.prompts import Prompts
from training.recognise import Recogniser


@pytest.fixture(scope="module")
def model():
    (model,) = create(["text_to_image"])
    model.load()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a server does; more only wait for each other in nets so small
    yield model
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser()


def drawn(model, prompt: str, seed: int = 1, **params) -> Image.Image:
    """The picture as a job would return it."""
    return finished(model.steps(NoInputs(), Prompt(prompt=prompt, seed=seed, **params)))[1]


def same(first: Image.Image, second: Image.Image) -> bool:
    return np.array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.parametrize(
    ("prompt", "thing", "colour"),
    [
        ("a fox on blue", "fox", "blue"),
        ("red apple on a yellow background", "apple", "yellow"),
        ("green apple on pink", "green apple", "pink"),
        ("fox, green background", "fox", "green"),
        ("A PICTURE of two Foxes, on PURPLE!", "fox", "purple"),
        ("white background with a pizza", "pizza", "white"),
        ("a majestic penguin standing on orange", "penguin", "orange"),
        ("hot dog on turquoise", "hot dog", "turquoise"),
        ("dog on grey", "dog", "grey"),
        ("a polar bear against a black wall", "polar bear", "black"),
    ],
)
def test_a_prompt_gives_its_thing_on_its_colour(model, recogniser, prompt, thing, colour):
    """However it is put, and though other words stand around."""
    seen = recogniser.see(drawn(model, prompt))
    assert (seen.thing, seen.colour) == (thing, colour)
    assert seen.distance < 25


def test_pairs_that_training_never_showed_come_out_right(model, recogniser):
    """One in sixteen of those held out; all of them are in the JSON beside the weights."""
    pairs = sorted(Prompts(things(), seed=0).held_out)[::16]
    seen = [recogniser.see(drawn(model, f"{thing} on {colour}")) for thing, colour in pairs]
    right = [(one.thing, one.colour) == pair for one, pair in zip(seen, pairs, strict=True)]
    assert np.mean(right) >= 0.85


def test_a_group_gives_one_of_it_and_the_seed_says_which(model, recogniser):
    """An animal is not always the same."""
    animals = {thing.names[0] for thing in things() if "animal" in thing.groups}
    seen = [recogniser.see(drawn(model, "an animal on white", seed)).thing for seed in range(10)]
    assert len(animals.intersection(seen)) >= 3
    assert sum(one in animals for one in seen) >= 8


def test_the_same_seed_gives_the_same_picture_and_another_another(model):
    """And no seed a random picture."""
    assert same(drawn(model, "a fox", 5), drawn(model, "a fox", 5))
    assert not same(drawn(model, "a fox", 5), drawn(model, "a fox", 6))
    assert not same(drawn(model, "a fox", None), drawn(model, "a fox", None))
    assert drawn(model, "a fox", MAX_SEED).size == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("prompt", "negative", "avoided"),
    [("a fox", "green", "green"), ("a fox", "purple background", "purple")],
)
def test_a_negative_prompt_leads_away_from_a_colour(model, recogniser, prompt, negative, avoided):
    """What it would have drawn on that colour stands on others, and is still what it was."""
    plain, away = (
        [
            recogniser.see(drawn(model, prompt, seed, negative_prompt=text, steps=8))
            for seed in range(16)
        ]
        for text in ("", negative)
    )
    assert [seen.colour for seen in plain].count(avoided) >= 2
    assert avoided not in [seen.colour for seen in away]
    assert {seen.thing for seen in away} == {"fox"}


def test_a_negative_prompt_leads_away_from_a_thing(model, recogniser):
    """A fruit, but no banana."""
    plain, away = (
        [
            recogniser.see(
                drawn(model, "a fruit on white", seed, negative_prompt=text, steps=8)
            ).thing
            for seed in range(16)
        ]
        for text in ("", "banana")
    )
    assert plain.count("banana") >= 2
    assert "banana" not in away


def test_guidance_of_one_does_not_look_at_the_negative_prompt(model):
    """There is nothing to lead away from."""
    plain, negative = (
        drawn(model, "a fox on blue", guidance=1, negative_prompt=text) for text in ("", "fox")
    )
    assert np.abs(np.asarray(plain, int) - np.asarray(negative, int)).max() <= 1


@pytest.mark.parametrize("steps", [1, 2, 20, 150])
def test_progress_is_told_after_each_step(model, steps):
    """It grows and stays below one: painting comes after."""
    params = Prompt(prompt="a fox on blue", steps=steps, seed=1)
    shares, image = finished(model.steps(NoInputs(), params))
    assert shares == [step / (steps + 1) for step in range(1, steps + 1)]
    assert (image.mode, image.size) == ("RGB", (SIDE, SIDE))


@pytest.mark.parametrize("prompt", ["", " ", "\t\n\u2003", "x" * 501])
def test_a_prompt_that_is_blank_or_endless_is_no_prompt(prompt):
    """The client reads which it is before anything runs."""
    with pytest.raises(ValidationError):
        Prompt(prompt=prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "\x00",
        "🦊",
        "лиса",
        "qwertyuiop",
        "on the of a",
        "1234",
        "\ufdfa" * 500,
        "\ud800",
        "\u202e!",
    ],
)
def test_a_prompt_without_a_known_word_is_refused_with_what_is_known(model, prompt):
    """The demo is small, and its advice lists what it can draw."""
    with pytest.raises(InvalidInput, match=r"a fox on blue.*fox.*turquoise") as caught:
        finished(model.steps(NoInputs(), Prompt.model_construct(prompt=prompt, negative_prompt="")))
    assert "prompt" in caught.value.fields


@pytest.mark.parametrize(
    "prompt",
    [
        "fox\x00blue",
        "🦊 fox 🟦 blue",
        "\uff26\uff2f\uff38 on blue",  # FOX, of wide letters
        "лиса fox " + "é" * 400 + " blue",
        "fox/blue;--",
    ],
)
def test_what_is_not_known_is_left_out(model, recogniser, prompt):
    """Whatever characters it has."""
    seen = recogniser.see(drawn(model, prompt))
    assert (seen.thing, seen.colour) == ("fox", "blue")


def test_a_prompt_of_many_known_words_still_gives_a_picture(model):
    """What is too much is left out."""
    assert drawn(model, "fox " * 125, negative_prompt="blue " * 100).size == (SIDE, SIDE)


@pytest.mark.parametrize(
    "params",
    [
        {"steps": 0},
        {"steps": 151},
        {"guidance": 0.9},
        {"guidance": float("nan")},
        {"guidance": 21},
        {"seed": -1},
        {"seed": MAX_SEED + 1},
        {"negative_prompt": "x" * 501},
        {"width": 512},
    ],
)
def test_parameters_have_bounds(params):
    """Time and memory have too."""
    with pytest.raises(ValidationError):
        Prompt(prompt="a fox", **params)


def test_jobs_may_run_at_once(model):
    """Each gets the picture that it would get alone."""
    prompts = ["a fox on blue", "pizza on black", "car on white", "an animal"] * 3
    alone = {prompt: drawn(model, prompt) for prompt in set(prompts)}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda prompt: drawn(model, prompt), prompts))
    for prompt, picture in zip(prompts, together, strict=True):
        apart = np.abs(np.asarray(alone[prompt], int) - np.asarray(picture, int))
        assert apart.max() <= 1  # threads may add numbers up in another order


def test_drawing_neither_uses_nor_moves_the_randomness_of_others(model):
    """Torch's own generator stands where it stood, and grad mode is as it was between steps."""
    before = torch.get_rng_state()
    steps = model.steps(NoInputs(), Prompt(prompt="a fox", seed=1))
    next(steps)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    finished(steps)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_job_that_is_left_between_steps_leaves_nothing(model):
    """The next one is as if it had never been."""
    expected = drawn(model, "a fox on blue")
    steps = model.steps(NoInputs(), Prompt(prompt="a fox on blue", seed=2))
    next(steps)
    steps.close()
    assert same(drawn(model, "a fox on blue"), expected)
