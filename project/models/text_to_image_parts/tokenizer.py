"""Words: a tokenizer of known words; what it does not know it leaves out, whatever the text is."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from project.models.nets.prompt_encoder import PADDING

BEGINNING = PADDING + 1
LENGTH = 16  # tokens of a prompt; known words beyond it are left out
WORD = re.compile(r"[^\W\d_]+")


class Tokenizer:
    """Numbers for words. known: all of them, in the order that the net learned them in."""

    def __init__(self, known: Sequence[str]) -> None:
        self._numbers = {word: number for number, word in enumerate(known, BEGINNING + 1)}

    def __len__(self) -> int:
        """How many numbers there are."""
        return len(self._numbers) + BEGINNING + 1

    def read(self, text: str) -> list[str]:
        """The known words of a text, in its order, as they are known."""
        words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
        return [known for word in words if (known := self._known(word))]

    def tokens(self, text: str) -> list[int]:
        """LENGTH numbers; for a text without a known word BEGINNING and nothing more."""
        numbers = [BEGINNING, *(self._numbers[word] for word in self.read(text))][:LENGTH]
        return numbers + [PADDING] * (LENGTH - len(numbers))

    def _known(self, word: str) -> str | None:
        """The word or what may be its singular."""
        return next((form for form in singulars(word) if form in self._numbers), None)


def singulars(word: str) -> Iterable[str]:
    """The word itself; then what it may be the English plural of."""
    yield word
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    if word.endswith("es"):
        yield word[:-2]
    if word.endswith("s"):
        yield word[:-1]
