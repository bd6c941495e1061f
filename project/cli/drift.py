"""`drift`: builds the baseline of a model's predictions from typical pictures or texts."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from project.cli.options import Input, Param
from project.cli.output import fail, plain, print_error
from project.errors import ConfigurationError, ProjectError
from project.settings import Settings
from project.settings.loading import load_settings

if TYPE_CHECKING:
    from project.cli.inputs import Item
    from project.cli.local_model import Values
    from project.models.base import AnyModel

app = typer.Typer(no_args_is_help=True, help="How far predictions are from a baseline.")
Features = dict[str, float | str]


@app.callback()
def drift() -> None:
    """How far predictions are from a baseline."""


@app.command()
def baseline(
    folder: Annotated[Path, typer.Argument(help="Folder of typical pictures, or of texts.")],
    model: Annotated[str, typer.Option(help="Name of a model; see `models`.")] = "classification",
    param: Param = None,
    given: Input = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: where the server reads it.")
    ] = None,
) -> None:
    """Build a baseline from the predictions for a folder of files, 100 or better 1000."""
    from project.cli import inputs, local_model  # noqa: PLC0415 - slow to import: __init__.py
    from project.inference.drift.baseline import path_of  # noqa: PLC0415
    from project.inference.drift.build import build_baseline  # noqa: PLC0415

    settings = local_model.local_settings(load_settings(), "ERROR")
    try:
        params = [inputs.split(item, "--param") for item in param or []]
        named = [inputs.split(item, "--input") for item in given or []]
        one = local_model.find_model(settings, model)
        takes = local_model.takes_of(one)
        if not takes:
            raise ConfigurationError(f"{model} takes neither pictures nor texts to measure")
        if not folder.is_dir():
            raise ConfigurationError(f"there is no folder {folder}")
        items = inputs.items(model, takes, inputs.files_of([folder], takes), named)
        values = local_model.values_of(one, params, settings)
        features = asyncio.run(_collect_features(settings, one, items, values))
        skipped = [item for item in items if item.failure]
        for item in skipped:
            print_error(f"left out: {item.path}: {item.failure}")
        typer.echo(f"{len(features)} files read, {len(skipped)} left out", err=True)
        made = build_baseline(one.name, one.version, features)
        target = out or path_of(one.name, settings.drift_baseline_dir)
        _write(target, made.model_dump_json(indent=1) + "\n")
    except ProjectError as error:
        fail(error)
    typer.echo(plain(f"wrote {target}"))


async def _collect_features(
    settings: Settings, model: "AnyModel", items: "list[Item]", values: "Values"
) -> list[Features]:
    """The features of each prediction; an item without one has its failure."""
    from project.cli.item_tasks import for_each  # noqa: PLC0415 - see __init__.py
    from project.cli.local_model import loaded  # noqa: PLC0415
    from project.cli.progress import Bar  # noqa: PLC0415
    from project.inference.drift.features import features_of  # noqa: PLC0415
    from project.inference.runner import top_prediction_of  # noqa: PLC0415

    features: dict[int, Features] = {}
    with Bar(model.name, len(items)) as bar:
        async with loaded(model, settings) as local:

            async def process(item: "Item") -> None:
                with bar.item(item):
                    prediction = await local.predict(item, values)
                if prediction.features:
                    top_prediction = top_prediction_of(model, prediction.result)
                    features[id(item)] = features_of(prediction.features, top_prediction)

            await for_each(items, local.concurrency, process)
    return [features[id(item)] for item in items if id(item) in features]


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {target}: {error.strerror}") from error
