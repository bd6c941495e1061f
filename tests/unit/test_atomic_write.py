"""A file is replaced whole or not at all."""

import pytest

from project.atomic_write import write_atomically


def test_the_content_is_replaced_and_nothing_else_is_left(tmp_path):
    """The temporary file has become the file."""
    path = tmp_path / "state"
    path.write_bytes(b"old and longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_private(tmp_path):
    """Secrets are for this user alone, whatever a previous file allowed."""
    path = tmp_path / "state"
    path.touch(mode=0o666)
    write_atomically(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failure_leaves_the_old_file_and_no_temporary_one(tmp_path):
    """As when the target is a folder, which a file cannot replace."""
    path = tmp_path / "state"
    path.mkdir()
    with pytest.raises(OSError, match="state"):
        write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
