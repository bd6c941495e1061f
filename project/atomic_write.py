"""Files that are replaced whole: a reader sees the old content or the new, never half of it.

It stands alone because every part writes such files.
"""

import os
import tempfile
from pathlib import Path

PRIVATE = 0o600  # readable and writable by this user alone


def write_atomically(path: Path, data: bytes | bytearray, *, mode: int = PRIVATE) -> None:
    """Replace a file's content; the rename is atomic (POSIX, rename(2)).

    Every byte is allocated before the rename, so a file that is memory-mapped afterwards cannot
    raise SIGBUS on a full disk. mode: the file's permissions, whatever the umask; they hold from
    the first byte on. Raises OSError, and then leaves nothing behind.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    temporary = Path(name)  # mkstemp creates it with PRIVATE
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode != PRIVATE:
                os.fchmod(file.fileno(), mode)
            file.write(data)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
