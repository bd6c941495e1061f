"""Finds out which label of a model a name in the data means."""

import difflib
from collections.abc import Collection, Sequence

from project.errors import ConfigurationError

MAX_NAMED = 10  # unknown names in a message


def resolve(names: Collection[str], labels: Sequence[str]) -> dict[str, str]:
    """Name → the label that it means: the same, or the one label that has it as a synonym.

    labels: the closed set of a model; a label may have synonyms with commas between them, as
    `tabby, tabby cat` has. Raises ConfigurationError, which names the names that mean none.
    """
    known = set(labels)
    meanings = {name: [name] if name in known else _with_synonym(name, known) for name in names}
    wrong = {name: found for name, found in meanings.items() if len(found) != 1}
    if wrong:
        listed = [_fault(name, wrong[name], labels) for name in sorted(wrong)[:MAX_NAMED]]
        more = f"; and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        raise ConfigurationError(f"the model has no such labels: {'; '.join(listed)}{more}")
    return {name: found[0] for name, found in meanings.items()}


def synonyms(label: str) -> list[str]:
    """The parts of a label between its commas."""
    return [part.strip() for part in label.split(",")]


def nearest(predicted: str, names: Collection[str]) -> str:
    """A predicted label by the name that the data have for it, if they have one."""
    if predicted in names:
        return predicted
    return next((part for part in synonyms(predicted) if part in names), predicted)


def _with_synonym(name: str, labels: Collection[str]) -> list[str]:
    return sorted(label for label in labels if name in synonyms(label))


def _fault(name: str, found: Sequence[str], labels: Sequence[str]) -> str:
    if found:
        return f"{name} may be {' or '.join(map(repr, found))}"
    parts = {part: label for label in labels for part in (label, *synonyms(label))}
    close = difflib.get_close_matches(name, parts, n=1)
    if close:
        return f"{name} (is it {parts[close[0]]!r}?)"
    return name if len(labels) > MAX_NAMED else f"{name} (there are: {', '.join(labels)})"
