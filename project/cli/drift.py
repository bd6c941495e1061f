"""`drift`: builds the baseline of a model's predictions from typical images."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from project.cli.output import fail, plain, print_error
from project.cli.predicting import files_of, quick
from project.errors import ConfigurationError, ProjectError
from project.settings import Settings
from project.settings.loading import load_settings

if TYPE_CHECKING:
    from project.models.base import Model

app = typer.Typer(no_args_is_help=True, help="How far predictions are from a baseline.")
Features = dict[str, float | str]


@app.callback()
def drift() -> None:
    """How far predictions are from a baseline."""


@app.command()
def baseline(
    folder: Annotated[Path, typer.Argument(help="Folder of typical images.")],
    model: Annotated[str, typer.Option(help="Name of a model; see `models`.")] = "classification",
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: where the server reads it.")
    ] = None,
) -> None:
    """Build a baseline from the predictions for a folder of images, 100 or better 1000."""
    from project.inference.drift.baseline import path_of  # noqa: PLC0415 - slow to import: __init__.py
    from project.inference.drift.build import build_baseline  # noqa: PLC0415

    settings = load_settings()
    try:
        files = list(files_of([folder]))
        if not folder.is_dir() or not files:
            raise ConfigurationError(f"no image files in {folder}")
        one = quick(model)
        features, skipped = asyncio.run(_collect_features(settings, one, files))
        for path, reason in skipped:
            print_error(f"left out: {path}: {reason}")
        typer.echo(f"{len(features)} images read, {len(skipped)} left out", err=True)
        made = build_baseline(one.name, one.version, features)
        target = out or path_of(one.name, settings.drift_baseline_dir)
        _write(target, made.model_dump_json(indent=1) + "\n")
    except ProjectError as error:
        fail(error)
    typer.echo(plain(f"wrote {target}"))


async def _collect_features(
    settings: Settings, model: "Model[Any, Any]", files: list[Path]
) -> tuple[list[Features], list[tuple[Path, str]]]:
    """The features of each image, and the error of each image that has none."""
    from rich.console import Console  # noqa: PLC0415 - see __init__.py
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    from project.inference.drift.features import features_of  # noqa: PLC0415
    from project.inference.runner import Runner, top_prediction_of  # noqa: PLC0415 - imports torch
    from project.observability.logging import configure_logging  # noqa: PLC0415

    alone = {"log_level": "ERROR", "prometheus_multiproc_dir": None, "result_cache": "off"}
    settings = settings.model_copy(update=alone)
    configure_logging(settings)
    features: list[Features] = []
    skipped: list[tuple[Path, str]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with Runner.of([model], settings) as runner:
        if failure := runner.queues[model.name].failure:
            raise ConfigurationError(f"{model.name} cannot be loaded: {failure}")
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            for path in progress.track(files, description=model.name):
                try:
                    prediction = await runner.predict(model.name, path.read_bytes(), model.params())
                except ProjectError as error:
                    skipped.append((path, error.detail))
                except OSError as error:
                    skipped.append((path, f"cannot read the file: {error.strerror}"))
                else:
                    if prediction.image_features:
                        top_prediction = top_prediction_of(model, prediction.result)
                        features.append(features_of(prediction.image_features, top_prediction))
    return features, skipped


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {target}: {error.strerror}") from error
