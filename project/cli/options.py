"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from project.settings.loading import load_settings

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Address of the server; default: http://localhost with PORT of the settings. "
        "An API key is read from the environment variable VITRINE_KEY.",
    ),
]
Paths = Annotated[
    list[Path] | None,
    typer.Argument(help="Files, or folders of them: each is the model's first picture, or text."),
]
Param = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="A parameter: steps=20; repeatable.")
]
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "--image",
        "-i",
        help="An input by name: style=b.jpg, text=hello or text=@mail.txt; repeatable.",
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of a job.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs.")]


def server_url(url: str | None) -> str:
    """The address of the server."""
    return url or f"http://localhost:{load_settings().port}"
