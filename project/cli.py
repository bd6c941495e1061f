"""`python -m project`: the same models from the command line, and the chores around a server."""

import asyncio
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from project import models as plugins
from project import preflight, reference
from project.configuration import load_settings
from project.errors import ConfigurationError, ModelFailed, ProjectError
from project.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
errors = Console(stderr=True)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}


@app.command("models")
def list_models() -> None:
    """List the models that there are, and which of them MODELS names."""
    settings = load_settings()
    table = Table("model", "in MODELS", "version", "licence", "what it does")
    for name in plugins.available():
        mark = "yes" if name in settings.models else "no"
        try:
            (model,) = plugins.create([name], settings.sources)
        except ConfigurationError as error:
            table.add_row(name, mark, "", "", Text(error.detail, style="red"))
        else:
            table.add_row(name, mark, model.version, model.licence, model.summary)
    Console().print(table)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Name of a model; see `models`.")],
    paths: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="A parameter: top_k=3; repeatable.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of a table.")
    ] = False,
) -> None:
    """Predict for files; exits with 1 if any of them failed."""
    settings = load_settings().model_copy(update={"log_level": "WARNING"})
    try:
        files = list(_files(paths))
        if not files:
            raise ConfigurationError(f"no image files in {', '.join(map(str, paths))}")
        values = dict(_split(item) for item in param or [])
        outcomes = asyncio.run(_predict_all(settings, model, files, values))
    except ProjectError as error:
        _fail(error)
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
    """Predict for one file after the other, as the server would."""
    from project.api.inputs import validate  # noqa: PLC0415 - torch is slow to import, --help is not
    from project.inference.runner import Runner  # noqa: PLC0415
    from project.observability.logging import configure_logging  # noqa: PLC0415

    configure_logging(settings)
    (model,) = plugins.create([name], settings.sources)
    params = validate(model.params, values)
    outcomes: Outcomes = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with Runner([model], settings) as runner:
        with Progress(*columns, console=errors, transient=True) as progress:
            for path in progress.track(files, description=name):
                try:
                    prediction = await runner.predict(name, path.read_bytes(), params)
                    outcomes.append((path, {"result": prediction.result.model_dump()}))
                except ProjectError as error:
                    if isinstance(error, ModelFailed) and error.__cause__:
                        traceback.print_exception(error.__cause__)  # here its author is the caller
                    outcomes.append((path, {"error": error.detail}))
                except OSError as error:
                    outcomes.append((path, {"error": f"cannot read the file: {error.strerror}"}))
    return outcomes


def _files(paths: list[Path]) -> Iterator[Path]:
    """The files named, and the images inside the folders named, in order."""
    for path in paths:
        if path.is_dir():
            inside = (item for item in sorted(path.rglob("*")) if item.suffix.lower() in SUFFIXES)
            yield from inside
        else:
            yield path


def _split(item: str) -> tuple[str, str]:
    name, sign, value = item.partition("=")
    if not sign:
        raise ConfigurationError(f"--param {item}: write it as name=value")
    return name, value


def _print_table(outcomes: Outcomes) -> None:
    table = Table("file", "result")
    for path, outcome in outcomes:
        table.add_row(Text(path.name), _cell(outcome))
    Console().print(table)


def _cell(outcome: dict[str, Any]) -> Text:
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


@app.command("preflight")
def check_before_start() -> None:
    """Check settings, models and ports; print where to look, and on stdout the port."""
    settings = load_settings()
    try:
        preflight.check(settings)
    except ConfigurationError as error:
        _fail(error)
    for name, url in preflight.urls(settings).items():
        errors.print(f"  {name:18} {url}", highlight=False)
    typer.echo(settings.port)


@app.command()
def docs(folder: Annotated[Path, typer.Argument(help="Root of the repository.")] = Path()) -> None:
    """Write the generated files again: .env.example and docs/metrics.md."""
    for path, text in reference.files().items():
        (folder / path).write_text(text, encoding="utf-8")


def _fail(error: ProjectError) -> NoReturn:
    errors.print(error.detail, style="red", highlight=False, markup=False, soft_wrap=True)
    for name, fault in error.fields.items():
        errors.print(f"  {name}: {fault}", style="red", highlight=False, markup=False)
    raise typer.Exit(1)
