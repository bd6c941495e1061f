"""Text that is none: halves of characters, which JSON can spell and no database or answer holds."""

from collections.abc import Iterator, Mapping
from typing import Any

from project.errors import InvalidInput

MAX_NAME = 100  # characters of a parameter's name that are said


def check_text(values: Mapping[str, Any]) -> None:
    r"""Raise InvalidInput that names each parameter with a lone surrogate, as `"\ud800"` is."""
    wrong = [name for name, value in values.items() if not all(map(_whole, _texts([name, value])))]
    if wrong:
        names = (name[:MAX_NAME].encode(errors="backslashreplace").decode() for name in wrong)
        raise InvalidInput(
            r"send whole characters; a lone surrogate such as \ud800 is half of one",
            fields=dict.fromkeys(names, "holds a lone surrogate, which is half of a character"),
        )


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value; without recursion, as a caller says how deep it is."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            left += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            left += item


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
