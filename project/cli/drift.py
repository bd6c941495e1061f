"""`drift`: what a model's predictions are compared with, made from pictures that are as they ought.

The baseline says what is usual: from these pictures as the model sees them, it is made in process.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from project.cli.output import fail, plain, say_error
from project.cli.predicting import files_of, quick
from project.errors import ConfigurationError, ProjectError
from project.settings import Settings
from project.settings.loading import load_settings

if TYPE_CHECKING:
    from project.models.base import Model

app = typer.Typer(no_args_is_help=True, help="How far predictions are from the usual.")
Features = dict[str, float | str]


@app.callback()
def drift() -> None:
    """How far predictions are from the usual."""


@app.command()
def baseline(
    folder: Annotated[Path, typer.Argument(help="Folder of images as they usually come.")],
    model: Annotated[str, typer.Option(help="Name of a model; see `models`.")] = "classification",
    out: Annotated[
        Path | None, typer.Option(help="File to write; without it where the server looks.")
    ] = None,
) -> None:
    """Write down what is usual: predict for a folder's images, a hundred or better a thousand."""
    from project.inference.drift.baseline import path_of  # noqa: PLC0415 - slow to import: __init__.py
    from project.inference.drift.build import build_baseline  # noqa: PLC0415

    settings = load_settings()
    try:
        files = list(files_of([folder]))
        if not folder.is_dir() or not files:
            raise ConfigurationError(f"no image files in {folder}")
        one = quick(model)
        seen, refused = asyncio.run(_look_through(settings, one, files))
        for path, reason in refused:
            say_error(f"left out: {path}: {reason}")
        typer.echo(f"{len(seen)} pictures read, {len(refused)} left out", err=True)
        made = build_baseline(one.name, one.version, seen)
        target = out or path_of(one.name, settings.drift_baseline_dir)
        _write(target, made.model_dump_json(indent=1) + "\n")
    except ProjectError as error:
        fail(error)
    typer.echo(plain(f"wrote {target}"))


async def _look_through(
    settings: Settings, model: "Model[Any, Any]", files: list[Path]
) -> tuple[list[Features], list[tuple[Path, str]]]:
    """The features of each picture, and why those that gave none did not."""
    from rich.console import Console  # noqa: PLC0415 - see __init__.py
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    from project.inference.drift.features import features_of  # noqa: PLC0415
    from project.inference.runner import Runner, top_prediction_of  # noqa: PLC0415 - imports torch
    from project.observability.logging import configure_logging  # noqa: PLC0415

    alone = {"log_level": "ERROR", "prometheus_multiproc_dir": None, "result_cache": "off"}
    settings = settings.model_copy(update=alone)
    configure_logging(settings)
    seen: list[Features] = []
    refused: list[tuple[Path, str]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with Runner([model], settings) as runner:
        if failure := runner.queues[model.name].failure:
            raise ConfigurationError(f"{model.name} cannot be loaded: {failure}")
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            for path in progress.track(files, description=model.name):
                try:
                    prediction = await runner.predict(model.name, path.read_bytes(), model.params())
                except ProjectError as error:
                    refused.append((path, error.detail))
                except OSError as error:
                    refused.append((path, f"cannot read the file: {error.strerror}"))
                else:
                    if prediction.look:
                        top_prediction = top_prediction_of(model, prediction.result)
                        seen.append(features_of(prediction.look, top_prediction))
    return seen, refused


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {target}: {error.strerror}") from error
