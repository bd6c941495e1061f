"""my_model: whether a text is friendly, and the words that say so.

It works as it stands; change it from top to bottom. docs/models.md says what each part may be.
"""

import re
from collections.abc import Sequence

import numpy as np

from project.models.base import (
    NO_WEIGHTS,
    Array,
    BatchModel,
    Field,
    Inputs,
    NoParams,
    Reason,
    TextLabel,
)

WEIGHTS = {"thank": 1.5, "great": 1.0, "good": 0.8, "bad": -0.8, "awful": -1.5, "stupid": -2.0}
WORDS = tuple(WEIGHTS)
HALF = 0.5  # the probability from which a text counts as friendly


class Message(Inputs):
    """What goes in: each field is a str or a Picture, and has that name in every request."""

    # The first example fills the page and the documentation, and warms the model up.
    text: str = Field(
        min_length=1,
        max_length=10_000,
        description="A message in English.",
        examples=["Thank you, that was a great help!"],
    )


class Friendliness(BatchModel[Message, TextLabel]):
    """The brackets say what goes in and what comes out; a third class says what may be chosen."""

    version = "0.1.0"  # raise it when answers change: jobs, metrics and cached results carry it
    summary = "Whether a text is friendly, and the words that say so."  # one line, on the page
    licence = "MIT"  # of the weights, as https://spdx.org/licenses names it
    # A file in project/models/files/: Weights("friendly-1", file_of_ours("friendly.npz"))
    weights = NO_WEIGHTS
    labels = ("unfriendly", "friendly")
    backend = "numpy"  # what runs it; shown on the page

    def load(self) -> None:
        """Read the weights, once in each process: here would be np.load(self.weights.path)."""
        self.weight = np.array([WEIGHTS[word] for word in WORDS], dtype=np.float32)

    def preprocess(self, inputs: Message, params: NoParams) -> Array:
        """Turn one text into an array: how often each word stands in it. Returns (words,)."""
        found = re.findall(r"[a-z]+", inputs.text.lower())
        return np.array([found.count(word) for word in WORDS], dtype=np.float32)

    def forward(self, batch: Array) -> Sequence[float]:
        """From (n, words) to n probabilities that a text is friendly."""
        logits = batch @ self.weight
        return [float(share) for share in 1 / (1 + np.exp(-logits))]

    def postprocess(self, output: float, inputs: Message, params: NoParams) -> TextLabel:
        """Turn one output into what the client gets, with the words that weighed most."""
        label, sign = ("friendly", 1) if output >= HALF else ("unfriendly", -1)
        counts = self.preprocess(inputs, params).tolist()
        weighed = [
            Reason(text=word, weight=sign * count * WEIGHTS[word])
            for word, count in zip(WORDS, counts, strict=True)
        ]
        reasons = sorted((it for it in weighed if it.weight > 0), key=lambda it: -it.weight)
        return TextLabel(label=label, probability=max(output, 1 - output), reasons=reasons)
