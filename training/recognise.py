"""Classifies a picture of the demo: the nearest emoji and the nearest colour, without a net.

The colour is the one nearest to the median of the picture's border. Then every emoji, mirrored or
not and moved by up to a pixel of 32, is put on the very colour of the border; the picture shows the
one whose pixels differ least from its own.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from training import emoji
from training.emoji_names import COLOURS, things
from training.scenes import FULL, layers

SIDE = emoji.SHEET_SIDE  # pixels of the pictures as they are compared
BORDER = 2  # pixels of such a picture's border
MOVES = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


class Seen(NamedTuple):
    """What a picture shows."""

    thing: str
    colour: str
    distance: float  # root of the mean squared difference to that emoji, levels of 255


class Recogniser:
    """Compares pictures with the emoji of the sheet beside this file."""

    def __init__(self) -> None:
        self._names = [thing.names[0] for thing in things()]
        self._colours = np.array(list(COLOURS.values()), np.float32)
        upright = layers(emoji.read_sheet(len(self._names)), SIDE)
        moved = np.stack([np.roll(upright, move, (3, 4)) for move in MOVES], axis=1)
        self._each = len(MOVES) * upright.shape[1]  # pictures of each emoji, one after the other
        flat = moved.reshape(-1, 4, SIDE, SIDE)
        self._colour, self._clear = flat[:, :3] * FULL, 1 - flat[:, 3:]

    def see(self, picture: Image.Image) -> Seen:
        """The nearest emoji and the nearest colour."""
        small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
        pixels = np.asarray(small, np.float32).transpose(2, 0, 1)
        border = np.ones((SIDE, SIDE), bool)
        border[BORDER:-BORDER, BORDER:-BORDER] = False
        ground = np.median(pixels[:, border], axis=1)
        away = np.abs(self._colours - ground).sum(1)
        scenes = self._colour + self._clear * ground[:, None, None]
        apart = np.square(scenes - pixels).mean((1, 2, 3))
        nearest = int(apart.argmin())
        return Seen(
            thing=self._names[nearest // self._each],
            colour=list(COLOURS)[int(away.argmin())],
            distance=float(np.sqrt(apart[nearest])),
        )
