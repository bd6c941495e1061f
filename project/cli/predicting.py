"""`models` and `predict`: run models on files and folders without a server."""

import asyncio
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from project import models as plugins
from project.cli.output import fail, plain
from project.errors import ConfigurationError, ModelFailed, ProjectError
from project.settings import Settings
from project.settings.loading import load_settings

if TYPE_CHECKING:
    from rich.text import Text

    from project.models.base import Model
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}


def list_models() -> None:
    """List the available models, and which of them MODELS names."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, see __init__.py
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    settings = load_settings()
    table = Table("model", "in MODELS", "version", "licence", "what it does")
    for name in plugins.available():
        mark = "yes" if name in settings.models else "no"
        try:
            (model,) = plugins.create([name], settings.weights_by_model)
        except ConfigurationError as error:
            table.add_row(name, mark, "", "", Text(error.detail, style="red"))
        else:
            table.add_row(name, mark, model.version, model.licence, model.summary)
    Console().print(table)


def predict(
    model: Annotated[str, typer.Argument(help="Name of a model; see `models`.")],
    paths: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="A parameter: top_k=3; repeatable.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line instead of a table.")
    ] = False,
) -> None:
    """Predict for files; exits with 1 if any of them failed."""
    settings = load_settings().model_copy(update={"log_level": "WARNING"})
    try:
        files = list(files_of(paths))
        if not files:
            raise ConfigurationError(f"no image files in {', '.join(map(str, paths))}")
        values = dict(split(item, "--param") for item in param or [])
        outcomes = asyncio.run(_predict_all(settings, model, files, values))
    except ProjectError as error:
        fail(error)
    if as_json:
        for path, outcome in outcomes:
            typer.echo(json.dumps({"path": str(path), **outcome}, ensure_ascii=False))
    else:
        _print_table(outcomes)
    if any("error" in outcome for _, outcome in outcomes):
        raise typer.Exit(1)


Outcomes = list[tuple[Path, dict[str, Any]]]


async def _predict_all(
    settings: Settings, name: str, files: list[Path], values: dict[str, str]
) -> Outcomes:
    """Predict for one file after another, with the server's runner."""
    from rich.console import Console  # noqa: PLC0415 - see __init__.py
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    from project.api.requests.reader import validate  # noqa: PLC0415 - imports torch
    from project.inference.runner import Runner  # noqa: PLC0415
    from project.observability.logging import configure_logging  # noqa: PLC0415

    configure_logging(settings)
    model = quick(name)
    params = validate(model.params, values)
    outcomes: Outcomes = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with Runner.of([model], settings) as runner:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            for path in progress.track(files, description=name):
                try:
                    prediction = await runner.predict(name, path.read_bytes(), params)
                    outcomes.append((path, {"result": prediction.result.model_dump()}))
                except ProjectError as error:
                    if isinstance(error, ModelFailed) and error.__cause__:
                        traceback.print_exception(
                            error.__cause__
                        )  # here the caller is the author of the model
                    outcomes.append((path, {"error": error.detail}))
                except OSError as error:
                    outcomes.append((path, {"error": f"cannot read the file: {error.strerror}"}))
    return outcomes


def quick(name: str) -> "Model[Any, Any]":
    """The model of that name. Raises ConfigurationError where it only runs as a job."""
    from project.models.base import Model  # noqa: PLC0415 - NumPy is slow to import as well

    (model,) = plugins.create([name])
    if isinstance(model, Model):
        return model
    raise ConfigurationError(
        f"{name} only runs as a job: `python -m project jobs submit {name}`, with the server up"
    )


def files_of(paths: list[Path]) -> Iterator[Path]:
    """The files, and the images inside the folders, in order."""
    for path in paths:
        if path.is_dir():
            inside = (item for item in sorted(path.rglob("*")) if item.suffix.lower() in SUFFIXES)
            yield from inside
        else:
            yield path


def split(item: str, option: str) -> tuple[str, str]:
    """Name and value of an option such as --param. Raises ConfigurationError."""
    name, sign, value = item.partition("=")
    if not sign or not name:
        raise ConfigurationError(f"{option} {item}: write it as name=value")
    return name, value


def _print_table(outcomes: Outcomes) -> None:
    from rich.console import Console  # noqa: PLC0415 - see __init__.py
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table("file", "result")
    for path, outcome in outcomes:
        table.add_row(Text(plain(path.name)), _cell(outcome))
    Console().print(table)


def _cell(outcome: dict[str, Any]) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - see __init__.py

    if "error" in outcome:
        return Text(outcome["error"], style="red")
    result = outcome["result"]
    if isinstance(result, list):
        return Text("\n".join(_line(item) for item in result))
    lists = [value for value in result.values() if isinstance(value, list)]
    if len(result) == 1 and lists:
        return Text("\n".join(_line(item) for item in lists[0]))
    return Text(_line(result))


def _line(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    return "  ".join(
        f"{value:.3f}" if isinstance(value, float) else str(value) for value in item.values()
    )
