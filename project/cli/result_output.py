"""Prints the results of predictions: a table for people, JSON lines for programs."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from project.cli.inputs import Item
from project.cli.output import plain

MAX_VALUE = 200  # characters of a value in the table; a picture in JSON has millions


def print_json(items: Iterable[Item]) -> None:
    """A line for each item: its path, and its result, the file that was saved, or the error."""
    for item in items:
        line: dict[str, Any] = {"path": str(item.path) if item.path else None}
        if item.failure:
            line["error"] = item.failure
        else:
            line |= {"result": item.result} if item.result is not None else {}
            line |= {"saved": str(item.saved)} if item.saved else {}
        typer.echo(plain(json.dumps(line, ensure_ascii=False)))


def print_table(items: Sequence[Item]) -> None:
    """A row for each item."""
    first = "file" if any(item.path for item in items) else "input"
    table = Table(first, "result")
    for item in items:
        table.add_row(Text(plain(item.label)), _cell(item))
    Console().print(table)


def _cell(item: Item) -> Text:
    if item.failure:
        return Text(plain(item.failure), style="red")
    lines = list(_lines(item.result))
    if item.saved:
        lines.append(f"saved {item.saved}")
    return Text("\n".join(map(plain, lines)))


def _lines(result: Any) -> Iterator[str]:
    """A result as lines: its plain values first, then the items of each list."""
    if result is None:
        return
    if not isinstance(result, dict):
        yield _value(result)
        return
    lists = {name: value for name, value in result.items() if isinstance(value, list)}
    rest = [value for name, value in result.items() if name not in lists and value is not None]
    if rest:
        yield "  ".join(_value(value) for value in rest)
    for name, values in lists.items():
        if not values:
            yield f"no {name}"
        elif len(lists) > 1:
            yield f"{name}:"
        for value in values:
            yield _value(value)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(_value(item) for item in value.values() if item is not None)
    if isinstance(value, list):
        return "  ".join(_value(item) for item in value)
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}… ({len(text):,} characters)"
