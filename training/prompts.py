"""Prompts: many phrasings of a thing on a colour, and the held-out pairs."""

import random
from collections import defaultdict

from training.emoji_names import ALSO_CALLED, COLOURS, Thing

HELD_OUT = 2  # colours of each thing that training never shows it on
BOTH = (
    "{thing} on {colour}",
    "{thing} on {colour}",
    "{thing} on a {colour} background",
    "{thing} on the {colour} background",
    "{thing}, {colour} background",
    "{thing}, {colour}",
    "{thing} on {colour} background",
    "{thing} with a {colour} background",
    "{thing} with {colour} background",
    "{thing} in front of {colour}",
    "{thing} in front of a {colour} wall",
    "{thing} against {colour}",
    "{thing} against a {colour} wall",
    "{thing} over {colour}",
    "{thing} and {colour}",
    "{thing} in {colour}",
    "{colour} background with {thing}",
    "{colour} background, {thing}",
    "{colour}, {thing}",
    "on {colour}, {thing}",
    "on a {colour} background {thing}",
)
ARTICLES = ("", "", "a ", "a ", "an ", "the ", "one ")
BEFORE = ("", "", "", "", "a picture of ", "an image of ", "a drawing of ", "an emoji of ")
FILLERS = sorted(
    {
        word.strip(",")
        for text in (*BOTH, *ARTICLES, *BEFORE)
        for word in text.split()
        if "{" not in word
    }
)
GROUP_SHARE, THING_SHARE, COLOUR_SHARE, ADJECTIVE_SHARE = 0.1, 0.12, 0.04, 0.3


class Prompts:
    """Samples prompts with their labels from the training pairs."""

    def __init__(self, things: list[Thing], seed: int) -> None:
        self._things = things
        self._colours = list(COLOURS)
        self._random = random.Random(seed)  # noqa: S311 - no secret is made of it
        held = random.Random("held out")  # noqa: S311 - the same pairs whatever the seed
        self.held_out = {
            (thing.names[0], colour)
            for thing in things
            for colour in held.sample(self._colours, HELD_OUT)
        }
        self._members = defaultdict(list)
        for index, thing in enumerate(things):
            for group in thing.groups:
                self._members[group].append(index)

    def words(self) -> dict[str, list[str]]:
        """All words that prompts are made of, by kind; what stands in two kinds is a subject."""
        names = {word for thing in self._things for name in thing.names for word in name.split()}
        names |= set(self._members)
        colours = {*COLOURS, *(name for also in ALSO_CALLED.values() for name in also)}
        return {
            "subjects": sorted(names - colours),
            "colours": sorted(colours),
            "fillers": [word for word in FILLERS if word not in names],
        }

    def draw(self) -> tuple[str, int, int]:
        """A prompt, the index of a thing and the index of a colour that it may be drawn with."""
        draw = self._random
        while True:
            index, colour = draw.randrange(len(self._things)), draw.choice(self._colours)
            thing = self._things[index]
            if (thing.names[0], colour) not in self.held_out:
                return self._prompt(thing, colour), index, self._colours.index(colour)

    def _prompt(self, thing: Thing, colour: str) -> str:
        draw = self._random
        share = draw.random()
        group = share < GROUP_SHARE
        name = draw.choice(thing.groups if group else thing.names)
        if draw.random() < 0.5:  # noqa: PLR2004 - the first name is the one that counts
            name = draw.choice(thing.groups) if group else thing.names[0]
        if thing.colour and draw.random() < ADJECTIVE_SHARE:
            name = f"{self._called(thing.colour)} {name}"
        subject = f"{draw.choice(BEFORE)}{draw.choice(ARTICLES)}{name}"
        kind = draw.random()
        if kind < THING_SHARE:
            return subject
        if kind < THING_SHARE + COLOUR_SHARE:
            return f"{draw.choice(ARTICLES)}{self._called(colour)} background"
        return draw.choice(BOTH).format(thing=subject, colour=self._called(colour))

    def _called(self, colour: str) -> str:
        """A colour by one of its names."""
        return self._random.choice((colour, colour, *ALSO_CALLED.get(colour, ())))
