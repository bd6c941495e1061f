"""The log on disk, for `python -m project trace`: one file that several processes append to.

Each line is one write at the end of the file, so that lines of several processes never mix. The
file is opened for each: it may be renamed, deleted or put back at any time, and a fork shares
nothing. Serving never depends on it: a line that cannot be written is counted, and that is all.
"""

import errno
import fcntl
import os
from pathlib import Path

from project.errors import ConfigurationError
from project.observability.metrics import TELEMETRY_DROPPED

MAX_BYTES = 50_000_000  # at a start; a longer file becomes the former one
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_FLAGS |= os.O_NONBLOCK  # a pipe that nobody reads is an error, not a wait


def append(path: Path, line: str) -> None:
    """Add a line, or count it as lost."""
    data = (line + "\n").encode("utf-8", "replace")
    try:
        whole = _write(path, data)
    except OSError:
        whole = False
    if not whole:
        TELEMETRY_DROPPED.labels("logs").inc()


def _write(path: Path, data: bytes) -> bool:
    """Whether all of it was written; on a full disk it may be a part."""
    descriptor = _open(path)
    try:
        return os.write(descriptor, data) == len(data)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, _FLAGS, 0o600)
    except FileNotFoundError:  # its folder was deleted, or was never there
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, _FLAGS, 0o600)


def former(path: Path) -> Path:
    """Where the lines before those of the file are."""
    return path.with_name(path.name + ".1")


def _is_there(path: Path, file: os.stat_result) -> bool:
    """Whether it still has that name, which another start may have given to its successor."""
    try:
        return path.stat().st_ino == file.st_ino
    except FileNotFoundError:
        return False


def bound(path: Path) -> None:
    """Begin another file where this one is long; the one before that is forgotten.

    To be called before a server starts. Two that start together take turns, so that the second
    does not rename what the first has just begun. Raises ConfigurationError where the file could
    never be written; a disk that is full now may not be for ever.
    """
    try:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            ours = os.fstat(descriptor)
            if ours.st_size > MAX_BYTES and _is_there(path, ours):
                path.rename(former(path))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _FULL:
            raise ConfigurationError(
                f"cannot write the log file {path}: {error.strerror}; name another in LOG_FILE, "
                "or leave it unset"
            ) from error
