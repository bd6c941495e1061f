"""The tokenizer of the demo: known words become tokens, all else in a text is left out."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from project.models.nets.prompt_encoder import PADDING

BEGINNING = PADDING + 1
LENGTH = 16  # tokens of a prompt; words beyond it are left out
WORD = re.compile(r"[^\W\d_]+")


class Tokenizer:
    """Maps words to tokens. vocabulary: all words, in the order of their tokens."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._tokens = {word: token for token, word in enumerate(vocabulary, BEGINNING + 1)}

    def __len__(self) -> int:
        """The number of different tokens."""
        return len(self._tokens) + BEGINNING + 1

    def read(self, text: str) -> list[str]:
        """The known words of a text, in its order, as they are in the vocabulary."""
        words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
        return [known for word in words if (known := self._known(word))]

    def tokens(self, text: str) -> list[int]:
        """LENGTH tokens: BEGINNING, one for each known word, then PADDING."""
        tokens = [BEGINNING, *(self._tokens[word] for word in self.read(text))][:LENGTH]
        return tokens + [PADDING] * (LENGTH - len(tokens))

    def _known(self, word: str) -> str | None:
        """The word itself or its singular, if it is in the vocabulary."""
        return next((form for form in singulars(word) if form in self._tokens), None)


def singulars(word: str) -> Iterable[str]:
    """The word itself, then its possible singulars in English."""
    yield word
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("s"):
        yield word[:-1]
