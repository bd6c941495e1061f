"""Options that several commands share."""

from typing import Annotated

import typer

from project.settings.loading import load_settings

Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="Address of the server; default: http://localhost with PORT of the settings."
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of a job.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs.")]


def server_url(url: str | None) -> str:
    """The address of the server."""
    return url or f"http://localhost:{load_settings().port}"
