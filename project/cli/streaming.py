"""`stream`: plays pictures or texts to a live stream, as a camera would."""

import asyncio
from typing import Annotated

import typer

from project.cli.options import Input, Param, Paths, Url, server_url
from project.cli.output import fail
from project.cli.submit import INTERRUPTED
from project.errors import ProjectError


def stream(
    model: Annotated[str, typer.Argument(help="Name of a model; see `models`.")],
    paths: Paths = None,
    param: Param = None,
    given: Input = None,
    fps: Annotated[float, typer.Option("--fps", min=0.1, help="Frames in a second.")] = 24,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, help="For how long; the files repeat.")
    ] = 10,
    url: Url = None,
) -> None:
    """Play files as a camera would; prints answers in a second, their age, and dropped frames."""
    from project.cli.camera import Camera, play  # noqa: PLC0415 - see __init__.py
    from project.cli.inputs import split  # noqa: PLC0415

    try:
        camera = Camera(
            model,
            paths or [],
            [split(item, "--input") for item in given or []],
            [split(item, "--param") for item in param or []],
            fps,
            seconds,
        )
        failed = asyncio.run(play(server_url(url), camera, typer.echo))
    except ProjectError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if failed:
        raise typer.Exit(1)
