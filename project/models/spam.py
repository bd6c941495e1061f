"""spam: whether a text is spam, and the words that say so."""

from collections.abc import Sequence

from project.models.base import (
    Array,
    BatchModel,
    Field,
    Inputs,
    NoParams,
    Reason,
    TextLabel,
    Weights,
    file_of_ours,
)
from project.models.text_parts.classifier import NgramClassifier
from project.models.text_parts.mail import readable
from project.models.text_parts.ngrams import ngrams

HALF = 0.5
REASONS = 10
DIGITS = 4


class Mail(Inputs):
    """A mail, with its headers or without, or any other text."""

    text: str = Field(
        min_length=1,
        max_length=100_000,
        description="A mail, with its headers or without.",
        examples=["Congratulations! You have been selected: claim your free prize now"],
    )


class Spam(BatchModel[Mail, TextLabel]):
    """A linear classifier of words and pairs of words, trained by training/spam.py."""

    version = "1.0.0"
    licence = "CC0-1.0"
    summary = "Whether a text is spam, and the words that say so."
    weights = Weights("spam-ngrams-1", file_of_ours("spam.safetensors"))
    labels = ("ham", "spam")
    backend = "numpy"

    def load(self) -> None:
        """Read the table of weights."""
        self._classifier = NgramClassifier.load(self.weights.path)

    def preprocess(self, inputs: Mail, params: NoParams) -> Array:
        """Returns (MAX_NGRAMS,) int32: rows of the table."""
        return self._classifier.rows(ngrams(readable(inputs.text)))

    def forward(self, batch: Array) -> Sequence[float]:
        """batch: (n, MAX_NGRAMS) int32. Returns n probabilities of spam."""
        return [float(probability) for probability in self._classifier.probabilities(batch)]

    def postprocess(self, output: float, inputs: Mail, params: NoParams) -> TextLabel:
        """output: the probability of spam. The reasons are those that spoke for the label."""
        label, sign = ("spam", 1) if output > HALF else ("ham", -1)
        found = self._classifier.reasons(ngrams(readable(inputs.text)), REASONS, sign)
        return TextLabel(
            label=label,
            probability=round(output if sign > 0 else 1 - output, DIGITS),
            reasons=[Reason(text=it.text, weight=round(it.weight, DIGITS)) for it in found],
        )
