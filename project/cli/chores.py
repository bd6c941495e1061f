"""`preflight` and `docs`: the chores around a server."""

from pathlib import Path
from typing import Annotated

import typer

from project import preflight, reference
from project.cli.output import fail
from project.configuration import load_settings
from project.errors import ConfigurationError


def check_before_start() -> None:
    """Check settings, models and ports; print where to look, and on stdout what honcho needs."""
    settings = load_settings()
    try:
        preflight.check(settings)
    except ConfigurationError as error:
        fail(error)
    for name, url in preflight.urls(settings).items():
        typer.echo(f"  {name:18} {url}", err=True)
    typer.echo(" ".join([str(settings.port), *preflight.processes(settings)]))


def docs(folder: Annotated[Path, typer.Argument(help="Root of the repository.")] = Path()) -> None:
    """Write the generated files again: .env.example and docs/metrics.md."""
    for path, text in reference.files().items():
        (folder / path).write_text(text, encoding="utf-8")
