"""Saves results: complete or not at all, and never over another file."""

import asyncio
import mimetypes
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from project.cli.connection import ErrorResponse, Server, Unreachable
from project.cli.following import View, path_of
from project.errors import ConfigurationError

SUFFIXES = {"image/png": ".png", "application/json": ".json"}
MAX_STEM_BYTES = 200  # file systems allow 255; a number and a suffix follow


def make_folder(folder: Path) -> None:
    """Create the folder for results. Raises ConfigurationError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: cannot write there: {error.strerror}") from error


async def save(server: Server, job: View, folder: Path, stem: str) -> Path:
    """Download the result of a job that has succeeded; returns its path.

    Raises ErrorResponse, Unreachable, or ConfigurationError where it cannot be written.
    """
    result = job.get("result")
    if not isinstance(result, dict):
        raise ErrorResponse("File missing: its result was deleted at the server", code=404)
    try:
        with _temporary_in(folder) as temporary:
            with temporary.open("xb") as file:
                await server.with_retries(lambda: download(server, job, file))
            return move_to_free_name(
                temporary, folder, stem, suffix_of(str(result.get("media_type")))
            )
    except OSError as error:
        raise ConfigurationError(
            f"cannot write its result into {folder}: {error.strerror}; it is still at the server: "
            f"python -m project jobs fetch {job['id']} --out DIR"
        ) from error


@contextmanager
def _temporary_in(folder: Path) -> Iterator[Path]:
    """The path of a file to be; it is gone afterwards, unless it was renamed."""
    temporary = folder / f".{uuid.uuid4().hex}.part"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write(data: bytes, folder: Path, stem: str, suffix: str) -> Path:
    """Write a file under the first free name. Raises ConfigurationError."""
    try:
        with _temporary_in(folder) as temporary:
            temporary.write_bytes(data)
            return move_to_free_name(temporary, folder, stem, suffix)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {stem}{suffix} into {folder}: {error.strerror}"
        ) from error


async def download(server: Server, job: View, file: BinaryIO) -> None:
    """Write a job's result to the file's start.

    Raises ErrorResponse, and Unreachable where the server is away or the download is truncated.
    """
    file.seek(0)
    file.truncate()
    path = f"{path_of(job['id'])}/result"
    async with server.stream("GET", path, follow_redirects=True) as answer:
        async for chunk in answer.aiter_bytes():
            await asyncio.to_thread(file.write, chunk)
    size = job["result"].get("size")
    if isinstance(size, int) and file.tell() != size:
        raise Unreachable(f"its result has {size} bytes, but {file.tell()} arrived")


def move_to_free_name(temporary: Path, folder: Path, stem: str, suffix: str) -> Path:
    """Rename a complete file to the first free name: a.png, a-2.png, a-3.png."""
    for path in _names(folder, shortened(stem), suffix):
        with suppress(FileExistsError):
            path.touch(exist_ok=False)  # reserves the name
            return temporary.replace(path)
    raise AssertionError("there is always another number")  # pragma: no cover


def _names(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    yield folder / f"{stem}{suffix}"
    for number in count(2):
        yield folder / f"{stem}-{number}{suffix}"


def shortened(stem: str) -> str:
    """The stem within MAX_STEM_BYTES, cut between characters."""
    data = os.fsencode(stem)
    return stem if len(data) <= MAX_STEM_BYTES else data[:MAX_STEM_BYTES].decode("utf-8", "ignore")


def suffix_of(media_type: str) -> str:
    """Filename suffix of a media type."""
    known = media_type.partition(";")[0].strip().lower()
    return SUFFIXES.get(known) or mimetypes.guess_extension(known) or ".bin"
