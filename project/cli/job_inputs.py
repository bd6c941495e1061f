"""From a command line to the jobs to submit, according to the images that the model takes."""

import hashlib
import mimetypes
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project.cli.following import View
from project.errors import ConfigurationError

MAX_BYTES = 2**30  # of a file; no server accepts more, and special files never end

_KEY = re.compile(r"[!-~]{1,222}")

Form = list[tuple[str, Any]]


@dataclass
class Item:
    """One job of a command. label: its name in the output; stem: of its result's filename.

    images: name → file, for a job to submit. job: the server's last representation. saved: path of
    its result. failure: its error, in a line. sending: it may have reached the server.
    """

    label: str
    stem: str
    images: Mapping[str, Path] = field(default_factory=dict)
    job: View | None = None
    saved: Path | None = None
    failure: str | None = None
    sending: bool = False

    @property
    def over(self) -> bool:
        """Whether it is finished."""
        return bool(self.saved or self.failure)


def items(
    model: str, takes: Sequence[str], paths: Sequence[Path], named: Sequence[tuple[str, str]]
) -> list[Item]:
    """The jobs to submit. takes: names of the model's images; named: the values of --image.

    Each path is the first image of its own job; the other images are shared by all. Raises
    ConfigurationError where an image is missing or superfluous.
    """
    shared = _shared(model, takes, named)
    if not takes:
        if paths:
            raise ConfigurationError(f"{model} takes no image: leave out {paths[0]}, use --param")
        return [Item(model, model)]
    first = takes[0]
    if paths and first in shared:
        raise ConfigurationError(
            f"each file, such as {paths[0]}, would be `{first}`: leave out --image {first}"
        )
    missing = [name for name in takes if name not in shared and not (paths and name == first)]
    if missing:
        how = " ".join(f"--image {name}=PATH" for name in missing)
        files = f"; or files, each of which is `{first}`" if first in missing else ""
        raise ConfigurationError(f"{model} takes {' and '.join(takes)}: give {how}{files}")
    return [_item({first: path} | shared) for path in paths] or [_item(shared)]


def _item(images: dict[str, Path]) -> Item:
    path = next(iter(images.values()))
    return Item(path.name, path.stem, images)


def _shared(model: str, takes: Sequence[str], named: Sequence[tuple[str, str]]) -> dict[str, Path]:
    """Name → file of the images that all jobs share, in the model's order."""
    given: dict[str, Path] = {}
    for name, path in named:
        if name not in takes:
            known = f"its images are: {', '.join(takes)}" if takes else "it takes no image"
            raise ConfigurationError(f"--image {name}: {model} knows none of that name; {known}")
        if name in given:
            raise ConfigurationError(f"--image {name}: give it once")
        given[name] = Path(path)
        read(given[name])  # otherwise every job would fail on it
    return {name: given[name] for name in takes if name in given}


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


def form(item: Item, params: Sequence[tuple[str, str]]) -> Form:
    """The form of a job submission. Raises ConfigurationError where a file cannot be read."""
    parts: Form = [(name, (None, value)) for name, value in params]
    for name, path in item.images.items():
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        filename = path.name.encode("utf-8", "replace").decode()
        parts.append((name, (filename, read(path), kind)))
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
