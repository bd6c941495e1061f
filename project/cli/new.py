"""`new`: writes the file of a model that works as it stands, and its test."""

import keyword
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from project.cli.output import fail, plain
from project.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
TEMPLATES = Path(__file__).parent / "templates"
PLACEHOLDER = "my_model"
MAX_NAME = 40  # characters, so that the lines of a template stay short enough
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Kind(StrEnum):
    """A template. Each has a file of its name, and one of its test."""

    CLASSIFICATION = "classification"  # a picture to classes, by a torch net
    TEXT = "text"  # a text to a label
    STEPS = "steps"  # two pictures to a picture, by a generator


EXAMPLES = {
    Kind.CLASSIFICATION: "photo.jpg",
    Kind.TEXT: '-i text="Thank you!"',
    Kind.STEPS: "-i first=a.jpg -i second=b.jpg",
}


def new(
    name: Annotated[str, typer.Argument(help="The model's name: lower-case letters, digits, _.")],
    kind: Annotated[
        Kind,
        typer.Option(
            help="classification: a picture to classes; text: a text to a label; "
            "steps: two pictures to a picture."
        ),
    ] = Kind.CLASSIFICATION,
) -> None:
    """Write a model that works as it stands, and its test; nothing is overwritten."""
    try:
        written = write(name, kind)
    except ConfigurationError as error:
        fail(error)
    model, test = (path.relative_to(ROOT) for path in written)
    python = ".venv/bin/python -m"
    for line in (
        f"wrote {model} and {test}; next:",
        f"  {python} project predict {name} {EXAMPLES[kind]}",
        f"  {python} pytest {test}",
        f"  MODELS={name} make dev    # serves it, and again after each change",
        "docs/models.md says what each part may be; `evaluate` says how good it is.",
    ):
        typer.echo(plain(line))


def write(name: str, kind: Kind, root: Path = ROOT) -> tuple[Path, Path]:
    """Write the file of a model and its test. root: of the repository. Returns their paths.

    Raises ConfigurationError where the name cannot be one, or where a file is there already.
    """
    check_name(name)
    models = root / "project" / "models"
    model, test = models / f"{name}.py", root / "tests" / "models" / f"test_{name}.py"
    if (models / name).exists():
        raise ConfigurationError(f"{name}: project/models/{name}/ is there; choose another name")
    for path in (model, test):
        if path.exists():
            raise ConfigurationError(
                f"{path.relative_to(root)} is there already; choose another name, or remove it"
            )
    try:
        for path in (model, test):  # both folders, before the first file
            path.parent.mkdir(parents=True, exist_ok=True)
        for path, template in ((model, f"{kind}.py"), (test, f"test_{kind}.py")):
            text = (TEMPLATES / template).read_text(encoding="utf-8")
            with path.open("x", encoding="utf-8") as file:
                file.write(text.replace(PLACEHOLDER, name))
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    return model, test


def check_name(name: str) -> None:
    """Raise ConfigurationError where no model can have the name."""
    if not _NAME.fullmatch(name):
        other = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        advice = f"; write {other}" if _NAME.fullmatch(other) else ""
        raise ConfigurationError(
            f"{name}: a model's name is of lower-case letters, digits and _, and begins with a "
            f"letter, as it stands in URLs, metrics and settings{advice}"
        )
    if keyword.iskeyword(name):
        raise ConfigurationError(f"{name} is a word of Python; choose another name")
    if len(name) > MAX_NAME:
        raise ConfigurationError(f"{name}: a name has at most {MAX_NAME} characters")
