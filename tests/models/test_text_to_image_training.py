"""The training of the text-to-image demo: what is held out stays out, and the measure measures."""

import numpy as np
import pytest
import torch
from PIL import Image

from project.models.text_to_image_parts.tokenizer import Tokenizer
from training import emoji
from training.basis import basis_of
from training.emoji_names import ALSO_CALLED, COLOURS, things
from training.prompts import HELD_OUT, Prompts
from training.recognise import Recogniser
from training.scenes import FULL, composed, layers

THINGS = things()


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser()


def scene(thing: int, colour: str, mirrored: int = 0) -> Image.Image:
    """What training would show, in the size of the sheet."""
    layer = torch.from_numpy(layers(emoji.read_sheet(len(THINGS))[[thing]], emoji.SHEET_SIDE))
    ground = torch.tensor([COLOURS[colour]]) / FULL
    pixels = (composed(layer[:, mirrored], ground)[0].permute(1, 2, 0) + 1) * (FULL / 2)
    return Image.fromarray(pixels.clamp(0, FULL).round().numpy().astype(np.uint8))


def test_pairs_that_are_held_out_are_never_drawn():
    """Else the accuracy on them would say nothing."""
    prompts = Prompts(THINGS, seed=3)
    assert len(prompts.held_out) == HELD_OUT * len(THINGS)
    colours = list(COLOURS)
    drawn = {
        (THINGS[thing].names[0], colours[colour]) for _, thing, colour in draw(prompts, 20_000)
    }
    assert not drawn & prompts.held_out
    assert len(drawn) > 0.95 * (len(colours) - HELD_OUT) * len(THINGS)


def draw(prompts: Prompts, count: int) -> list[tuple[str, int, int]]:
    return [prompts.draw() for _ in range(count)]


def test_the_held_out_pairs_are_the_same_whatever_the_seed():
    """The weights and the measure must mean the same ones."""
    assert Prompts(THINGS, seed=1).held_out == Prompts(THINGS, seed=2).held_out


def test_every_word_of_a_prompt_is_known():
    """A word that the vocabulary has not is never learned."""
    prompts = Prompts(THINGS, seed=4)
    kinds = prompts.words()
    every = [word for kind in kinds.values() for word in kind]
    assert len(set(every)) == len(every)
    words = Tokenizer(every)
    for prompt, _, _ in draw(prompts, 3000):
        assert words.read(prompt) == prompt.replace(",", " ").split()


def test_a_prompt_names_what_it_is_drawn_with():
    """A colour is a background's or the thing's own; no other one is named."""
    called = {name: {name, *ALSO_CALLED.get(name, ())} for name in COLOURS}
    names = {other for also in called.values() for other in also}
    for prompt, index, colour in draw(Prompts(THINGS, seed=5), 3000):
        thing = THINGS[index]
        named = set(prompt.replace(",", " ").split()) & names
        own = called[thing.colour] if thing.colour else set()
        own = own | {word for name in thing.names for word in name.split()}
        assert named <= called[list(COLOURS)[colour]] | own


def test_the_measure_knows_every_emoji_on_every_colour(recogniser):
    """Mirrored ones too: what is right is never counted as wrong."""
    for index, thing in enumerate(THINGS):
        colour = list(COLOURS)[index % len(COLOURS)]
        seen = recogniser.see(scene(index, colour, mirrored=index % 2))
        assert (seen.thing, seen.colour) == (thing.names[0], colour)
        assert seen.distance < 5


def test_the_measure_sees_that_a_picture_shows_nothing_it_knows(recogniser):
    """Noise is far from all emoji."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert recogniser.see(Image.fromarray(noise)).distance > 25


def test_scenes_are_composed_in_numbers_as_they_would_be_in_pixels():
    """So that the denoiser learns from the same pictures without their pixels."""
    layer = torch.from_numpy(layers(emoji.read_sheet(len(THINGS)), 16))
    basis = basis_of(layer)
    chosen, mirrored = torch.tensor([0, 60, 127]), torch.tensor([0, 1, 0])
    ground = torch.tensor([COLOURS[name] for name in ("blue", "white", "pink")]) / FULL
    pixels = basis.of(chosen, mirrored, ground) @ basis.basis + basis.mean
    exact = composed(layer[chosen, mirrored], ground).flatten(1)
    assert (pixels - exact).square().mean().sqrt() < 0.1
