"""What every command says and how: errors in red on stderr, text of others without its controls."""

from typing import NoReturn

import typer

from project.errors import ProjectError
from project.observability.control import CONTROL


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
    return text.translate(CONTROL)
