"""Options that several commands of jobs have."""

from typing import Annotated

import typer

from project.settings.loading import load_settings

Url = Annotated[
    str | None,
    typer.Option("--url", help="The server; without it http://localhost with this machine's PORT."),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of a job.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs.")]


def where(url: str | None) -> str:
    """The address of the server."""
    return url or f"http://localhost:{load_settings().port}"
