"""Reads labelled samples: a folder with one folder for each class, or a CSV file."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from project.cli.inputs import (
    IMAGE,
    InputSpec,
    Item,
    Pairs,
    files_in,
    item_of,
    items,
    main_input,
    shared_inputs,
)
from project.errors import ConfigurationError

LABEL, PATH = "label", "path"  # columns of a CSV; any other that counts is an input of the model
MAX_CELL = 2**27  # characters; the csv module's own limit is 131,072


@dataclass
class Sample:
    """An input whose label is known. predicted, confidence: None until it has been predicted."""

    item: Item
    truth: str
    predicted: str | None = None
    confidence: float | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it was predicted as something else."""
        return self.predicted is not None and self.predicted != self.truth

    @property
    def name(self) -> str:
        """Its path, or its text."""
        texts = (value for value in self.item.inputs.values() if isinstance(value, str))
        return str(self.item.path or next(texts, self.item.label))


def read_samples(
    data: Path, model: str, takes: Sequence[InputSpec], named: Pairs = ()
) -> tuple[list[Sample], list[Path]]:
    """The samples of a folder or a CSV file, and the files of the folder that have no label.

    takes: the model's inputs. named: those that all samples share, as name and value. Raises
    ConfigurationError.
    """
    if data.is_dir():
        return _of_folder(data, model, takes, named)
    if data.suffix.lower() == ".csv" and data.is_file():
        return list(_of_csv(data, model, takes, named)), []
    raise ConfigurationError(
        f"{data}: name a folder that has one folder for each class, or a .csv with the columns "
        f"{PATH} and {LABEL}"
    )


def _of_folder(
    data: Path, model: str, takes: Sequence[InputSpec], named: Pairs
) -> tuple[list[Sample], list[Path]]:
    main = main_input(takes)
    if main is None:
        raise ConfigurationError(f"{model} takes no files, so none of {data} can be evaluated")
    samples: list[Sample] = []
    for folder in sorted(data.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            files = list(files_in(folder, main.kind))
            found = items(model, takes, files, named) if files else []
            samples += [Sample(item, folder.name) for item in found]
    if not samples:
        raise ConfigurationError(
            f"there are no {'image ' if main.kind == IMAGE else ''}files in folders of {data}: "
            "put those of each class into a folder that is called like it"
        )
    return samples, [path for path in files_in(data, main.kind) if path.parent == data]


def _of_csv(data: Path, model: str, takes: Sequence[InputSpec], named: Pairs) -> Iterator[Sample]:
    shared = shared_inputs(model, takes, named)
    csv.field_size_limit(MAX_CELL)
    try:
        with data.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            columns = _columns(data, rows.fieldnames or (), takes)
            for row in rows:
                cells = {column: row.get(column) or "" for column in (*columns, LABEL)}
                inputs = dict(shared)
                for column, spec in columns.items():
                    if cells[column]:
                        is_text = column != PATH and spec.kind != IMAGE
                        value = cells[column]
                        inputs[spec.name] = value if is_text else data.parent / value
                needed = [it.name for it in takes if it.required and it.name not in inputs]
                missing = needed + ([] if cells[LABEL].strip() else [LABEL])
                if missing:
                    raise ConfigurationError(f"{data}:{rows.line_num}: there is no {missing[0]}")
                yield Sample(item_of(model, inputs), cells[LABEL].strip())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"cannot read {data}: {error}") from error


def _columns(data: Path, names: Sequence[str], takes: Sequence[InputSpec]) -> dict[str, InputSpec]:
    """Column → the input that it is. Raises ConfigurationError where there is none."""
    columns = {spec.name: spec for spec in takes if spec.name in names}
    main = main_input(takes)
    if main and PATH in names and main.name not in columns:
        columns[PATH] = main
    if LABEL not in names or not columns:
        known = " or ".join([PATH, *(spec.name for spec in takes)])
        raise ConfigurationError(
            f"{data}: its first line names no column {LABEL if LABEL not in names else known}; "
            f"begin it with {PATH},{LABEL}"
        )
    return columns
