"""Files that are replaced whole: a reader sees the old content or the new, never half of it."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, data: bytes | bytearray) -> None:
    """Replace a file's content; the rename is atomic (POSIX, rename(2)).

    The file is readable and writable by this user alone. Every byte is allocated before the rename,
    so a file that is memory-mapped afterwards cannot raise SIGBUS on a full disk. Raises OSError,
    and then leaves nothing behind.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
