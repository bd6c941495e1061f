"""`predict`: runs a model on files, texts or parameters, in this process or at a server."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from project.cli.options import Input, Param, Paths
from project.cli.output import fail
from project.cli.submit import INTERRUPTED, resume_advice
from project.errors import ConfigurationError, ProjectError
from project.settings.loading import load_settings

if TYPE_CHECKING:
    from project.cli.inputs import InputSpec, Item

PNG = "image/png"
MEDIA_TYPES = {".png": PNG, ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


@dataclass(frozen=True)
class Command:
    """What a command asks for; params and named: name and value, as they were written."""

    model: str
    paths: Sequence[Path]
    named: Sequence[tuple[str, str]]
    params: Sequence[tuple[str, str]]
    draw: bool
    out: Path | None

    def items(self, takes: "Sequence[InputSpec]") -> "list[Item]":
        """The predictions to make. takes: the model's inputs. Raises ConfigurationError."""
        from project.cli import inputs  # noqa: PLC0415 - see __init__.py

        files = inputs.files_of(self.paths, takes)
        return inputs.items(self.model, takes, files, self.named)

    def target(self, count: int, *, is_picture: bool, can_draw: bool) -> "Target | None":
        """Where pictures are saved; None where the results are none.

        count: of the predictions. is_picture: whether a result is one. can_draw: whether it can be
        drawn otherwise. Raises ConfigurationError.
        """
        if self.draw and not can_draw:
            why = "its result is a picture already" if is_picture else "it cannot draw its result"
            raise ConfigurationError(f"{self.model}: leave out --draw: {why}")
        if not is_picture and not self.draw:
            if self.out:
                also = ", or add --draw" if can_draw else ""
                raise ConfigurationError(
                    f"--out {self.out}: the result of {self.model} is no picture; "
                    f"write --json > FILE instead{also}"
                )
            return None
        if self.out is None:
            return Target(Path(), f"-{self.model}", None, PNG)
        if self.out.is_dir() or not self.out.suffix:
            return Target(self.out, "", None, PNG)
        media_type = MEDIA_TYPES.get(self.out.suffix.lower())
        if media_type is None:
            raise ConfigurationError(f"--out {self.out}: name a .png, .jpg or .webp, or a folder")
        if count > 1:
            raise ConfigurationError(f"--out {self.out}: name a folder for {count} pictures")
        return Target(self.out.parent, "", self.out.stem, media_type)


@dataclass(frozen=True)
class Target:
    """Where pictures are saved, and as what.

    ending: of the name, behind that of the input. stem: the name of the only picture.
    """

    folder: Path
    ending: str
    stem: str | None
    media_type: str

    async def save(self, item: "Item", data: bytes) -> None:
        """Write a picture under a name that is free. Raises ConfigurationError."""
        from project.cli.saving import suffix_of, write  # noqa: PLC0415 - see __init__.py

        ending = "" if self.ending == f"-{item.stem}" else self.ending
        stem = self.stem or f"{item.stem}{ending}"
        suffix = suffix_of(self.media_type)
        item.saved = await asyncio.to_thread(write, data, self.folder, stem, suffix)


def predict(  # noqa: PLR0913, PLR0917 - one for each option
    model: Annotated[str, typer.Argument(help="Name of a model; see `models`.")],
    paths: Paths = None,
    param: Param = None,
    given: Input = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File or folder for pictures; default: this folder."),
    ] = None,
    draw: Annotated[bool, typer.Option("--draw", help="Also draw what was found.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line instead of a table.")
    ] = False,
    url: Annotated[
        str | None, typer.Option("--url", help="Address of a server that is to predict instead.")
    ] = None,
) -> None:
    """Predict for files, texts or parameters; exits with 1 if any prediction failed.

    A picture as the result is saved; no file is ever overwritten.
    """
    from project.cli.inputs import split  # noqa: PLC0415 - see __init__.py
    from project.cli.result_output import print_json, print_table  # noqa: PLC0415

    items: list[Item] = []
    try:
        params = [split(item, "--param") for item in param or []]
        named = [split(item, "--input") for item in given or []]
        command = Command(model, paths or [], named, params, draw, out)
        asyncio.run(_predict(command, url, items))
    except ProjectError as error:
        fail(error)
    except KeyboardInterrupt:
        if url and any(item.job for item in items):
            for line in resume_advice(items, url):
                typer.echo(line, err=True)
        raise typer.Exit(INTERRUPTED) from None
    (print_json if as_json else print_table)(items)
    if any(item.failure for item in items):
        raise typer.Exit(1)


def _predict(command: Command, url: str | None, items: "list[Item]") -> Coroutine[Any, Any, None]:
    if url is None:
        from project.cli.predicting_here import predict_here  # noqa: PLC0415 - imports NumPy

        return predict_here(load_settings(), command, items)
    from project.cli.predicting_there import predict_there  # noqa: PLC0415 - imports an HTTP client

    return predict_there(url, command, items)
