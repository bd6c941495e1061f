"""Files in a folder: whole or not at all, gone when deleted, and nowhere but there."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from drills.waiting import DEADLINE
from project.errors import ConfigurationError, FileMissing, StorageUnavailable
from project.storage import CloudStorage, LocalStorage, make_storage
from project.storage.base import MARKER
from tests.conftest import make_settings
from tests.unit.test_storage_names import TRICKS

PNG = "image/png"
MEGABYTE = bytes(2**20)


def storage_in(folder: Path) -> LocalStorage:
    return LocalStorage(folder, None, 60)


def files_in(folder: Path) -> list[str]:
    """All files but the mark of a storage, hidden ones and leftovers too."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MARKER]
    return sorted(str(path.relative_to(folder)) for path in files)


def test_what_is_put_is_there_until_it_is_deleted(tmp_path):
    """Empty files and binary ones alike; the second put wins."""

    async def test() -> None:
        storage = storage_in(tmp_path / "not" / "yet")
        await storage.check()
        for data in (b"", b"\0\xff\n", MEGABYTE, b"short"):
            await storage.put("jobs/1/result.png", data, PNG)
            assert await storage.get("jobs/1/result.png") == data
        await storage.delete("jobs/1/result.png")
        with pytest.raises(FileMissing):
            await storage.get("jobs/1/result.png")

    asyncio.run(test())


def test_deleting_leaves_nothing_behind_and_may_be_done_twice(tmp_path):
    """No empty folder for each job of the past."""

    async def test() -> None:
        storage = storage_in(tmp_path)
        await storage.put("jobs/1/a", b"a", PNG)
        await storage.put("jobs/2/a", b"a", PNG)
        for _ in range(2):
            await storage.delete("jobs/1/a")
        assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["2"]

    asyncio.run(test())


def test_a_folder_is_no_file(tmp_path):
    """What lies on the way to a file is missing, not broken."""

    async def test() -> None:
        storage = storage_in(tmp_path)
        await storage.put("jobs/1/a", b"a", PNG)
        with pytest.raises(FileMissing):
            await storage.get("jobs/1")

    asyncio.run(test())


@pytest.mark.parametrize("key", TRICKS)
def test_path_tricks_are_refused_everywhere(tmp_path, key):
    """Before anything touches the disk."""

    async def test() -> None:
        storage = storage_in(tmp_path / "files")
        for refused in (
            storage.put(key, b"", PNG),
            storage.get(key),
            storage.delete(key),
            storage.url(key, PNG, "a.png"),
        ):
            with pytest.raises(ValueError, match="no key"):
                await refused
        assert files_in(tmp_path) == []

    asyncio.run(test())


def test_a_media_type_that_is_none_is_refused(tmp_path):
    """It would go into a header as it is."""
    put = storage_in(tmp_path).put("a", b"", "image/png\r\nSet-Cookie: a=b")
    with pytest.raises(ValueError, match="media type"):
        asyncio.run(put)


def test_of_many_puts_at_once_one_is_there_whole(tmp_path):
    """Two workers may write the same result; readers meanwhile see one of them, not a mixture."""

    async def test() -> None:
        storage = storage_in(tmp_path)
        contents = [bytes([number]) * 2**18 for number in range(16)]
        await storage.put("a/b", contents[0], PNG)
        puts = [storage.put("a/b", content, PNG) for content in contents]
        gets = [storage.get("a/b") for _ in contents]
        seen = (await asyncio.gather(*puts, *gets))[len(puts) :]
        assert all(each in contents for each in [*seen, await storage.get("a/b")])
        assert files_in(tmp_path) == ["a/b"]

    asyncio.run(test())


def test_putting_while_the_folder_is_tidied_away_loses_nothing(tmp_path):
    """Deleting the last file of a folder removes it, at the moment in which another is put."""

    async def test() -> None:
        storage = storage_in(tmp_path)
        for number in range(50):
            await storage.put("a/old", b"old", PNG)
            key = f"a/{number}"
            await asyncio.gather(storage.delete("a/old"), storage.put(key, b"new", PNG))
            assert await storage.get(key) == b"new"
            await storage.delete(key)

    asyncio.run(test())


BRIEF = """
import asyncio, sys
from pathlib import Path
from project.storage import LocalStorage

async def main():
    storage = LocalStorage(Path(sys.argv[1]), None, 60)
    for _ in range(3):
        await storage.put("a/b", b"a", "image/png")
        await storage.get("a/b")

asyncio.run(main())
"""


def test_a_process_may_end_right_after_its_last_file(tmp_path):
    """Without an abort by threads that are not Python's; in one of six it once came to that."""
    command = [sys.executable, "-c", BRIEF, str(tmp_path)]
    root = Path(__file__).parents[2]
    started = [subprocess.Popen(command, cwd=root) for _ in range(6)]
    assert [process.wait(DEADLINE) for process in started] == [0] * len(started)


def test_a_folder_that_cannot_be_made_is_unavailable_until_it_can(tmp_path):
    """Nothing has to be started again."""

    async def test() -> None:
        (tmp_path / "file").write_text("in the way")
        storage = storage_in(tmp_path / "file" / "folder")
        for refused in (storage.check(), storage.put("a", b"", PNG), storage.url("a", PNG, "a")):
            with pytest.raises(StorageUnavailable):
                await refused
        (tmp_path / "file").unlink()
        await storage.check()
        assert await storage.url("a", PNG, "a")

    asyncio.run(test())


@pytest.mark.parametrize("written", ["file:{}/files", "file://{}/files", "file:{}/a%20b"])
def test_the_settings_name_a_folder(tmp_path, written):
    """As a path or as a URL."""
    storage = make_storage(make_settings(storage_url=written.format(tmp_path)))
    assert isinstance(storage, LocalStorage)
    assert files_in(tmp_path) == []  # making it touches nothing
    asyncio.run(storage.put("a", b"a", PNG))
    folder = "a b" if "%" in written else "files"
    assert files_in(tmp_path) == [f"{folder}/a"]


def test_a_folder_may_be_relative(tmp_path, monkeypatch):
    """To where the process was started, as var/ is."""
    monkeypatch.chdir(tmp_path)
    storage = make_storage(make_settings())
    monkeypatch.chdir("/")
    asyncio.run(storage.put("a", b"a", PNG))
    assert files_in(tmp_path) == ["var/storage/a"]


@pytest.mark.parametrize("wrong", ["file:", "file:/", "file://host/files", "s3://", "gs:///x"])
def test_an_address_that_names_no_place_stops_the_process(wrong):
    """At its start, not at the first job."""
    with pytest.raises(ConfigurationError, match="STORAGE_URL"):
        make_storage(make_settings(storage_url=wrong))


def test_a_variable_of_a_cloud_that_is_wrong_stops_the_process(monkeypatch):
    """Likewise."""
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "nonsense")
    with pytest.raises(ConfigurationError, match="STORAGE_URL"):
        make_storage(make_settings(storage_url="s3://bucket/prefix"))


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a/prefix", "gs://bucket/prefix"])
def test_making_the_storage_of_a_cloud_asks_nobody(url):
    """Building an application needs no network."""
    assert isinstance(make_storage(make_settings(storage_url=url)), CloudStorage)
