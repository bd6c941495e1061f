"""Markdown tables and the figures in them."""

from collections.abc import Iterator, Sequence

from benchmarks.stats import median

Lines = Iterator[str]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Lines:
    """The lines of a table and an empty one."""
    yield from (_row(head), _row(["---"] * len(head)), *map(_row, rows), "")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], scale: float = 1, digits: int = 0) -> str:
    """The median, and from least to most where there are several."""
    figures = (min(values), median(values), max(values))
    low, middle, high = (f"{value * scale:.{digits}f}" for value in figures)
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"
