"""LOG_FILE, for `python -m project trace`: one file to which several processes append.

Each line is one write at the end of the file, so that lines of several processes never mix. Each
write opens the file: it may be renamed, deleted or restored at any time, and a fork shares nothing.
Serving never depends on it: a line that cannot be written is counted as dropped.
"""

import errno
import fcntl
import os
from pathlib import Path

from project.errors import ConfigurationError
from project.observability.metrics import TELEMETRY_DROPPED

MAX_BYTES = 50_000_000  # at a start; a longer file is rotated
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_FLAGS |= os.O_NONBLOCK  # a pipe without a reader is an error, not a wait


def append(path: Path, line: str) -> None:
    """Append a line, or count it as dropped."""
    data = (line + "\n").encode("utf-8", "replace")
    try:
        written = _write(path, data)
    except OSError:
        written = False
    if not written:
        TELEMETRY_DROPPED.labels("logs").inc()


def _write(path: Path, data: bytes) -> bool:
    """Return whether all of it was written; on a full disk it may be a part."""
    descriptor = _open(path)
    try:
        return os.write(descriptor, data) == len(data)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, _FLAGS, 0o600)
    except FileNotFoundError:  # its folder is deleted, or never existed
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, _FLAGS, 0o600)


def rotated(path: Path) -> Path:
    """Return the path of the rotated file, which has the lines before those of the file."""
    return path.with_name(path.name + ".1")


def _has_name(path: Path, file: os.stat_result) -> bool:
    """Return whether the open file still has this name; another start may have rotated it."""
    try:
        return path.stat().st_ino == file.st_ino
    except FileNotFoundError:
        return False


def rotate(path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Rotate the file where it is longer than that; the file rotated before is replaced.

    Call it before a server starts. A lock keeps a second start from rotating the file that the
    first has just begun. Raises ConfigurationError where the file can never be written; a disk
    that is full now may have space later.
    """
    try:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            ours = os.fstat(descriptor)
            if ours.st_size > max_bytes and _has_name(path, ours):
                path.rename(rotated(path))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _FULL:
            raise ConfigurationError(
                f"cannot write the log file {path}: {error.strerror}; name another in LOG_FILE, "
                "or leave it unset"
            ) from error
