"""From a command line to the inputs of predictions or jobs, by what the model takes."""

import hashlib
import mimetypes
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project.errors import ConfigurationError

MAX_BYTES = 2**30  # of a file; no server accepts more, and special files never end
MAX_LABEL = 40  # characters of a text that stands for itself in the output
IMAGE, TEXT = "image", "text"
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
FILE_SIGN = "@"  # before a path where a text could stand, as with curl

_KEY = re.compile(r"[!-~]{1,222}")

Form = list[tuple[str, Any]]
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a model. kind: image or text."""

    name: str
    kind: str
    required: bool


@dataclass
class Item:
    """One prediction or job of a command. label: its name in the output; stem: of its file.

    inputs: name → file, or the text itself. job: the server's last representation. result: as
    JSON has it. saved: path of what was written. failure: its error, in a line. sending: it may
    have reached the server.
    """

    label: str
    stem: str
    inputs: Mapping[str, Path | str] = field(default_factory=dict)
    job: dict[str, Any] | None = None
    result: Any = None
    saved: Path | None = None
    failure: str | None = None
    sending: bool = False

    @property
    def over(self) -> bool:
        """Whether it is finished."""
        return bool(self.saved or self.failure)

    @property
    def path(self) -> Path | None:
        """The first of its files."""
        return next((it for it in self.inputs.values() if isinstance(it, Path)), None)


def main_input(takes: Sequence[InputSpec]) -> InputSpec | None:
    """The input that the files of a command are: the first picture, else the first text."""
    pictures = [spec for spec in takes if spec.kind == IMAGE]
    return next(iter(pictures or takes), None)


def files_of(paths: Sequence[Path], takes: Sequence[InputSpec]) -> list[Path]:
    """The files, and inside the folders those that can be the main input, in order.

    Of a folder these are the pictures, or for a text every file that is neither a picture nor
    hidden. Raises ConfigurationError where there is none.
    """
    main = main_input(takes)
    kind = main.kind if main else IMAGE
    files = [file for path in paths for file in files_in(path, kind)]
    if paths and not files:
        what = "image files" if kind == IMAGE else "files"
        raise ConfigurationError(f"no {what} in {', '.join(map(str, paths))}")
    return files


def files_in(path: Path, kind: str) -> Iterator[Path]:
    """A file itself, or the files inside a folder that can be an input of that kind, in order."""
    if not path.is_dir():
        yield path
        return
    for item in sorted(path.rglob("*")):
        is_picture = item.suffix.lower() in PICTURES
        if kind == IMAGE and is_picture:
            yield item
        if kind == TEXT and not is_picture and not item.name.startswith(".") and item.is_file():
            yield item


def split(item: str, option: str) -> tuple[str, str]:
    """Name and value of an option such as --param. Raises ConfigurationError."""
    name, sign, value = item.partition("=")
    if not sign or not name:
        raise ConfigurationError(f"{option} {item}: write it as name=value")
    return name, value


def items(
    model: str, takes: Sequence[InputSpec], paths: Sequence[Path], named: Pairs
) -> list[Item]:
    """What a command asks for. takes: the model's inputs; named: the values of --input.

    Each path is the main input of its own item; the other inputs are shared by all. Raises
    ConfigurationError where an input is missing or superfluous.
    """
    shared = shared_inputs(model, takes, named)
    main = main_input(takes)
    if main is None:
        if paths:
            raise ConfigurationError(f"{model} takes no file: leave out {paths[0]}, use --param")
        return [Item(model, model)]
    if paths and main.name in shared:
        raise ConfigurationError(
            f"each file, such as {paths[0]}, would be `{main.name}`: leave out --input {main.name}"
        )
    missing = [
        spec
        for spec in takes
        if spec.required and spec.name not in shared and not (paths and spec == main)
    ]
    if missing:
        names = " and ".join(spec.name for spec in takes)
        how = " ".join(f"--input {_example(spec)}" for spec in missing)
        files = f"; or files, each of which is `{main.name}`" if main in missing else ""
        raise ConfigurationError(f"{model} takes {names}: give {how}{files}")
    return [item_of(model, {main.name: path, **shared}) for path in paths] or [
        item_of(model, shared)
    ]


def _example(spec: InputSpec) -> str:
    return f"{spec.name}=PATH" if spec.kind == IMAGE else f"{spec.name}=TEXT"


def item_of(model: str, inputs: dict[str, Path | str]) -> Item:
    """An item that is called like its first file, its first text or the model."""
    for value in inputs.values():
        if isinstance(value, Path):
            return Item(value.name, value.stem, inputs)
    text = " ".join(str(next(iter(inputs.values()), "")).split())
    short = text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"
    return Item(short or model, model, inputs)


def shared_inputs(model: str, takes: Sequence[InputSpec], named: Pairs) -> dict[str, Path | str]:
    """Name → file or text of the inputs that all items share, in the model's order.

    named: the values of --input. Raises ConfigurationError.
    """
    kinds = {spec.name: spec.kind for spec in takes}
    given: dict[str, Path | str] = {}
    for name, value in named:
        if name not in kinds:
            known = f"its inputs are: {', '.join(kinds)}" if kinds else "it takes no input"
            raise ConfigurationError(f"--input {name}: {model} knows none of that name; {known}")
        if name in given:
            raise ConfigurationError(f"--input {name}: give it once")
        if kinds[name] == TEXT and not value.startswith(FILE_SIGN):
            given[name] = value
            continue
        path = given[name] = Path(value.removeprefix(FILE_SIGN))
        read(path)  # otherwise every item would fail on it
    return {name: given[name] for name in kinds if name in given}


def read(path: Path) -> bytes:
    """A file's bytes. Raises ConfigurationError."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"cannot read {path}: it is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise ConfigurationError(f"{path} has more than {MAX_BYTES} bytes; send a smaller one")
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error


def read_text(path: Path) -> str:
    """A file's text. Raises ConfigurationError."""
    try:
        return read(path).decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"cannot read {path} as a text: it is not UTF-8 (byte {error.start})"
        ) from error


def form(item: Item, params: Pairs) -> Form:
    """The form of a prediction or job. Raises ConfigurationError where a file cannot be read."""
    parts: Form = [(name, (None, value)) for name, value in params]
    for name, value in item.inputs.items():
        if isinstance(value, str):
            parts.append((name, (None, value)))
            continue
        kind = mimetypes.guess_type(value.name)[0] or "application/octet-stream"
        filename = value.name.encode("utf-8", "replace").decode()
        parts.append((name, (filename, read(value), kind)))
    return parts


def check_key(key: str | None) -> None:
    """Raise ConfigurationError for an invalid Idempotency-Key; a hash must fit behind it."""
    if key is not None and not _KEY.fullmatch(key):
        raise ConfigurationError("--idempotency-key: write 1 to 222 visible ASCII characters")


def key_of(given: str | None, parts: Form, *, alone: bool) -> str:
    """The Idempotency-Key of a job, so that a retried request creates no second job.

    given: used unchanged where the job is alone; several jobs each append a hash of their files, so
    that the same files are the same jobs in another command. None: a random key.
    """
    if given is None:
        return uuid.uuid4().hex
    if alone:
        return given
    digest = hashlib.sha256()
    for name, (filename, *data) in parts:
        if filename is not None:
            digest.update(f"{name}\0{filename}\0".encode())
            digest.update(hashlib.sha256(data[0]).digest())
    return f"{given}-{digest.hexdigest()[:32]}"
