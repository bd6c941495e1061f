"""`preflight`, `warm` and `docs`: what is run before a server starts."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from project import docgen, preflight
from project.cli.output import fail
from project.errors import ConfigurationError
from project.observability.logging import configure_logging
from project.settings import misspelt
from project.settings.loading import load_settings


def check_before_start() -> None:
    """Check settings, models and ports; print addresses, and on stdout honcho's arguments."""
    from project.local_stack.configs import alertmanager_config  # noqa: PLC0415 - see __init__.py
    from project.local_stack.programs import plan  # noqa: PLC0415

    settings = load_settings()
    try:
        preflight.check(settings)
        monitoring = plan(settings)
        if "alertmanager" in monitoring.commands:
            alertmanager_config(settings)
    except ConfigurationError as error:
        fail(error)
    shown = {**preflight.urls(settings), **monitoring.urls, **monitoring.skipped}
    for name, url in shown.items():
        typer.echo(f"  {name:18} {url}", err=True)
    for line in misspelt.warning_lines():
        typer.echo(f"  {line}", err=True)
    processes = preflight.processes(settings) + ["monitoring"] * bool(monitoring.commands)
    typer.echo(" ".join([str(settings.port), *processes]))


def warm() -> None:
    """Load each model of MODELS once, so that its compiled net is in CACHE_DIR."""
    from project.inference.runner import load_all  # noqa: PLC0415 - see __init__.py

    settings = load_settings()
    configure_logging(settings)
    try:
        failed = asyncio.run(load_all(settings))
    except ConfigurationError as error:
        fail(error)
    if failed:
        raise typer.Exit(1)  # the log says why


def docs(folder: Annotated[Path, typer.Argument(help="Root of the repository.")] = Path()) -> None:
    """Write the generated files again: .env.example and docs/metrics.md."""
    for path, text in docgen.files().items():
        (folder / path).write_text(text, encoding="utf-8")
