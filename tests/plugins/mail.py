"""mail: whether a text is spam, by one word."""

from collections.abc import Sequence

import numpy as np

from project.models.base import (
    NO_WEIGHTS,
    Array,
    BatchModel,
    Field,
    Inputs,
    InvalidInput,
    Params,
    Reason,
    TextLabel,
)


class Text(Inputs):
    """A mail."""

    text: str = Field(min_length=1, max_length=1000, examples=["a prize"])


class Words(Params):
    """The word that is looked for."""

    word: str = "prize"
    tags: list[str] = Field(default=[], description="Looked for as well.")


class Mail(BatchModel[Text, TextLabel, Words]):
    """Looks for words."""

    version, licence, summary = "1.0.0", "MIT", "Whether a text is spam."
    weights, labels, backend = NO_WEIGHTS, ("ham", "spam"), "numpy"

    def preprocess(self, inputs: Text, params: Words) -> Array:
        if "refuse" in inputs.text:
            raise InvalidInput("send another text", fields={"text": "is refused"})
        return np.array([inputs.text.count(word) for word in (params.word, *params.tags)])

    def forward(self, batch: Array) -> Sequence[float]:
        return [min(0.99, 0.5 + 0.25 * float(counts.sum())) for counts in batch]

    def postprocess(self, output: float, inputs: Text, params: Words) -> TextLabel:
        if "crash" in inputs.text:
            raise ValueError(f"cannot read {inputs.text}")
        label = "spam" if output > 0.5 else "ham"
        reasons = [Reason(text=params.word, weight=1)] if label == "spam" else []
        return TextLabel(label=label, probability=output, reasons=reasons)
