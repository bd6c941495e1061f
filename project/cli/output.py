"""Output of every command: errors in red on stderr, foreign text without control characters."""

from typing import NoReturn

import typer

from project.errors import ProjectError
from project.observability.control_characters import CONTROL, CONTROL_IN_LINES


def fail(error: ProjectError) -> NoReturn:
    """Print an error with its advice, and exit with 1."""
    print_error(error.detail)
    for name, fault in error.fields.items():
        print_error(f"  {name}: {fault}")
    raise typer.Exit(1)


def print_error(text: str) -> None:
    """Print one line on stderr."""
    typer.secho(plain(text), fg="red", err=True)


def plain(text: str) -> str:
    """Foreign text on one line, with its control characters escaped."""
    return _encodable(text).translate(CONTROL)


def plain_lines(text: str) -> str:
    """The same, but line breaks stay."""
    return _encodable(text).translate(CONTROL_IN_LINES)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which filenames may have and no terminal accepts."""
    return text.encode("utf-8", "replace").decode()
