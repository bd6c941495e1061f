"""Rejects lone surrogates: JSON can express them, but no database and no response can hold them."""

from collections.abc import Iterator, Mapping
from typing import Any

from project.errors import InvalidInput

MAX_NAME = 100  # characters of a parameter's name that the error shows


def check_text(values: Mapping[str, Any]) -> None:
    r"""Raise InvalidInput that names each parameter with a lone surrogate, as `"\ud800"` is."""
    wrong = [
        name for name, value in values.items() if not all(map(_encodes, _texts([name, value])))
    ]
    if wrong:
        names = (name[:MAX_NAME].encode(errors="backslashreplace").decode() for name in wrong)
        raise InvalidInput(
            r"send whole characters; a lone surrogate such as \ud800 is half of one",
            fields=dict.fromkeys(names, "holds a lone surrogate, which is half of a character"),
        )


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value; without recursion, as the client chooses the depth."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            stack += item


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
