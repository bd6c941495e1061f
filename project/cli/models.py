"""`models`: lists the models that there are, what goes into each and what comes out."""

from typing import TYPE_CHECKING

from project import models as plugins
from project.cli.output import plain
from project.errors import ConfigurationError
from project.settings.loading import load_settings

if TYPE_CHECKING:
    from project.models.base import AnyModel

PIPE_WIDTH = 200  # columns where no terminal has a width


def list_models() -> None:
    """List the available models: what goes in, what comes out, and which of them MODELS names."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, see __init__.py
    from rich.table import Column, Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    settings = load_settings()
    table = Table(Column("model", no_wrap=True), "takes → gives", "what it does", show_lines=True)
    for name in plugins.available():
        listed = "in MODELS" if name in settings.models else "not in MODELS"
        try:
            (model,) = plugins.create([name], settings.weights_by_model)
        except ConfigurationError as error:
            table.add_row(f"{name}\n{listed}", "", Text(plain(error.detail), style="red"))
        else:
            served = "as jobs alone" if model.background else "at once, or as a job"
            facts = plain(f"{model.version}, {model.licence}, {served}")
            what = Text(plain(model.summary)) + Text(f"\n{facts}", style="dim")
            flow = plain(f"{taken_by(model)} → {given_by(model)}")
            table.add_row(f"{name}\n{listed}", Text(flow), what)
    console = Console()
    if not console.is_terminal:
        console.width = max(PIPE_WIDTH, console.width)
    console.print(table)


def taken_by(model: "AnyModel") -> str:
    """The inputs of a model, those that may be left out in brackets, or its required parameters."""
    from project.models.base.inputs import fields_of  # noqa: PLC0415 - NumPy is slow to import

    inputs = []
    for field in fields_of(model.inputs).values():
        declared = f"{field.name}: {'picture' if field.kind == 'image' else field.kind}"
        inputs.append(declared if field.required else f"[{declared}]")
    required = [name for name, field in model.params.model_fields.items() if field.is_required()]
    return ", ".join(inputs or required or ["nothing"])


def given_by(model: "AnyModel") -> str:
    """What the result of a model is."""
    from project.models.base.results import kinds_of  # noqa: PLC0415 - NumPy is slow to import

    return ", ".join(kinds_of(model.result)) or "fields of its own"
