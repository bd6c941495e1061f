"""my_model: which of red, green and blue is most in a photo.

It works as it stands; change it from top to bottom. docs/models.md says what each part may be.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from project.models.base import (
    NO_WEIGHTS,
    Array,
    BatchModel,
    Classes,
    Field,
    Inputs,
    Params,
    Picture,
    picture,
    softmax,
)

SIDE = 64  # pixels; of the square that the net sees


class Photo(Inputs):
    """What goes in: each field is a Picture or a str, and has that name in every request."""

    # A large JPEG is decoded at a fraction of its pixels, but no smaller than useful_side.
    image: Picture = picture(description="A photo.", useful_side=SIDE)


class Options(Params):
    """What a client may choose: each with a type, bounds, a default and a description."""

    top_k: int = Field(3, ge=1, le=3, description="How many classes to return, best first.")


class Colours(BatchModel[Photo, Classes, Options]):
    """The brackets say what goes in, what comes out and what may be chosen."""

    version = "0.1.0"  # raise it when answers change: jobs, metrics and cached results carry it
    summary = "Which of red, green and blue is most in a photo."  # one line, on the page
    licence = "MIT"  # of the weights, as https://spdx.org/licenses names it
    # A file in project/models/files/: Weights("colours-1", file_of_ours("colours.pt"))
    weights = NO_WEIGHTS
    labels = ("red", "green", "blue")  # in the order of the net's outputs
    max_batch = 8  # the most photos in one pass of the net

    def build_net(self) -> Any:
        """Build a torch module: from (n, 3, SIDE, SIDE) float32 to (n, 3) logits.

        It is compiled once, and the compiled net serves if it answers the same on sample inputs.
        Torch is imported in here: workers that find the compiled net start without it.
        """
        import torch

        linear = torch.nn.Linear(3, 3)  # your own: torch.load(self.weights.path, weights_only=True)
        linear.load_state_dict({"weight": 10 * torch.eye(3), "bias": torch.zeros(3)})
        pool = torch.nn.AdaptiveAvgPool2d(1)
        return torch.nn.Sequential(pool, torch.nn.Flatten(), linear).eval()

    def preprocess(self, inputs: Photo, params: Options) -> Array:
        """Turn one photo, RGB and upright, into an array; its shape is that of every photo."""
        pixels = np.asarray(inputs.image.resize((SIDE, SIDE)), dtype=np.float32)
        return pixels.transpose(2, 0, 1) / 255  # (3, SIDE, SIDE), 0 to 1

    def forward(self, batch: Array) -> Sequence[Array]:
        """Run the net on stacked arrays; returns one output for each.

        Probabilities, not logits: a compiled net is compared by what this method returns.
        """
        return list(softmax(self.net(batch)))  # n of (3,)

    def postprocess(self, output: Array, inputs: Photo, params: Options) -> Classes:
        """Turn one output into what the client gets."""
        return Classes.top(output, self.labels, params.top_k)
