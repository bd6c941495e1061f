"""A full disk: said as such, with what was there untouched and no half file."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from project.errors import StorageUnavailable
from tests.unit.test_storage import MEGABYTE, PNG, files_in, storage_in

FULL = """
import asyncio, resource, sys
from pathlib import Path
from project.errors import StorageUnavailable
from project.storage import LocalStorage

async def main():
    storage = LocalStorage(Path(sys.argv[1]), None, 60)
    await storage.put("jobs/1/old", b"old", "image/png")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, resource.RLIM_INFINITY))
    for key in ("jobs/1/old", "jobs/2/new"):
        try:
            await storage.put(key, bytes(2**20), "image/png")
        except StorageUnavailable as error:
            assert error.status == 503
        else:
            sys.exit("it was kept")
    assert await storage.get("jobs/1/old") == b"old"
    await storage.put("jobs/3/small", b"small", "image/png")

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no such limit here")
def test_a_put_that_is_cut_short_leaves_no_half_file(tmp_path):
    """What was there before stays, what was not is not there, and what fits goes on."""
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert ended.returncode == 0, ended.stderr
    assert files_in(tmp_path) == ["jobs/1/old", "jobs/3/small"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_a_storage_that_is_unavailable(tiny_disk):
    """Said by put and by check, with no half file; with room again, both go on."""

    async def test() -> None:
        storage = storage_in(tiny_disk)
        await storage.put("old", b"old", PNG)
        with pytest.raises(StorageUnavailable):
            await storage.put("new", MEGABYTE, PNG)
        assert files_in(tiny_disk) == ["old"]
        await storage.check()
        free = os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_frsize
        await storage.put("filling", bytes(free), PNG)
        with pytest.raises(StorageUnavailable):
            await storage.check()
        assert files_in(tiny_disk) == ["filling", "old"]
        await storage.delete("filling")
        await storage.check()
        assert await storage.get("old") == b"old"

    asyncio.run(test())
