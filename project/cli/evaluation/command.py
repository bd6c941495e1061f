"""`evaluate`: predicts labelled files, prints how good the model is, and writes it as a page."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from project.cli.options import Input, Param
from project.cli.output import fail, plain, print_error
from project.errors import ConfigurationError, ProjectError
from project.settings.loading import load_settings

FOLDER = Path("var/evaluation")


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of a model; see `models`.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder with one folder of files for each class; or a CSV with the columns "
            "path and label, or text and label."
        ),
    ],
    param: Param = None,
    given: Input = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=f"The page; default: {FOLDER}/MODEL.html.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
) -> None:
    """Say how good a model is: accuracy, confusions and the worst mistakes, with their pictures."""
    from project.cli import inputs, local_model  # noqa: PLC0415 - slow to import: __init__.py
    from project.cli.evaluation import page, report, run  # noqa: PLC0415
    from project.cli.evaluation.samples import read_samples  # noqa: PLC0415

    settings = local_model.local_settings(load_settings(), "ERROR")
    target = out or FOLDER / f"{model}.html"
    try:
        params = [inputs.split(item, "--param") for item in param or []]
        named = [inputs.split(item, "--input") for item in given or []]
        one = local_model.find_model(settings, model)
        run.check_model(one)
        values = local_model.values_of(one, params, settings)
        samples, loose = read_samples(data, model, local_model.takes_of(one), named)
        evaluation, pictures = asyncio.run(run.evaluate(settings, one, samples, values))
        _write(target, page.render(evaluation, pictures))
    except ProjectError as error:
        fail(error)
    if loose:
        print_error(f"left out: {len(loose)} files of {data} that are in no folder of a class")
    for line in report.left_out(evaluation):
        print_error(line)
    if as_json:
        found = {**report.as_json(evaluation), "page": str(target)}
        typer.echo(plain(json.dumps(found, ensure_ascii=False)))
    else:
        report.print_evaluation(evaluation)
        typer.echo(plain(f"wrote {target}"))


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"cannot write {target}: {error.strerror}") from error
