"""What every command says and how: errors in red on stderr, text of others without its controls."""

from typing import NoReturn

import typer

from project.errors import ProjectError
from project.observability.control import CONTROL, CONTROL_IN_LINES


def fail(error: ProjectError) -> NoReturn:
    """Say what went wrong and what to do, and exit with 1."""
    say_error(error.detail)
    for name, fault in error.fields.items():
        say_error(f"  {name}: {fault}")
    raise typer.Exit(1)


def say_error(text: str) -> None:
    """One line on stderr."""
    typer.secho(plain(text), fg="red", err=True)


def plain(text: str) -> str:
    """Text that came from elsewhere, on one line and harmless to a terminal."""
    return _whole(text).translate(CONTROL)


def plain_lines(text: str) -> str:
    """The same for text of several lines."""
    return _whole(text).translate(CONTROL_IN_LINES)


def _whole(text: str) -> str:
    """Without halves of characters, which no terminal takes: names of files may have them."""
    return text.encode("utf-8", "replace").decode()
