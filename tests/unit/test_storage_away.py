"""A folder that is away, renamed or unmounted: said as such, and not made anew in its place."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from project.errors import FileMissing, StorageUnavailable
from project.storage import LocalStorage
from tests.unit.test_storage import PNG, files_in, storage_in

KEY = "jobs/1/result.png"
USES: dict[str, Callable[[LocalStorage], object]] = {
    "get": lambda storage: storage.get(KEY),
    "delete": lambda storage: storage.delete(KEY),
    "delete_under": lambda storage: storage.delete_under("jobs/1"),
    "url": lambda storage: storage.url(KEY, PNG, "a.png"),
    "put": lambda storage: storage.put("jobs/2/result.png", b"new", PNG),
    "check": lambda storage: storage.check(),
}
READING = [name for name in USES if name not in {"put", "check"}]


@pytest.fixture(params=["renamed", "unmounted"])
def take_away(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], None]:
    """Moves the folder elsewhere; of a disk that is unmounted an empty folder stays."""

    def take_away() -> None:
        (tmp_path / "files").rename(tmp_path / "elsewhere")
        if request.param == "unmounted":
            (tmp_path / "files").mkdir()

    return take_away


def bring_back(folder: Path) -> None:
    """Fails if something was put in its place meanwhile."""
    if (folder / "files").exists():
        (folder / "files").rmdir()
    (folder / "elsewhere").rename(folder / "files")


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("first", ["put", "get"])
def test_a_process_that_has_used_the_folder_knows_that_it_is_away(tmp_path, take_away, use, first):
    """Whatever it did first; what is there is there again when the folder is."""

    async def test() -> None:
        await storage_in(tmp_path / "files").put(KEY, b"picture", PNG)
        storage = storage_in(tmp_path / "files")
        await (storage.get(KEY) if first == "get" else storage.put(KEY, b"picture", PNG))
        take_away()
        with pytest.raises(StorageUnavailable):
            await USES[use](storage)
        bring_back(tmp_path)
        assert files_in(tmp_path) == [f"files/{KEY}"]
        assert await storage.get(KEY) == b"picture"
        await USES[use](storage)

    asyncio.run(test())


@pytest.mark.parametrize("use", READING)
def test_a_process_that_starts_meanwhile_makes_nothing_by_looking(tmp_path, take_away, use):
    """A worker that is to read an input is told that the storage is gone, not the input."""

    async def test() -> None:
        await storage_in(tmp_path / "files").put(KEY, b"picture", PNG)
        take_away()
        storage = storage_in(tmp_path / "files")
        with pytest.raises(StorageUnavailable):
            await USES[use](storage)
        bring_back(tmp_path)
        await USES[use](storage)

    asyncio.run(test())


@pytest.mark.parametrize("use", ["put", "check"])
@pytest.mark.parametrize("there", [True, False])
def test_the_first_use_makes_what_is_not_there(tmp_path, use, there):
    """On a clean clone, or in a volume that is new and empty; all else works from then on."""

    async def test() -> None:
        if there:
            (tmp_path / "files").mkdir()
        await USES[use](storage_in(tmp_path / "files"))
        other = storage_in(tmp_path / "files")
        assert await other.url(KEY, PNG, "a.png")
        await other.delete(KEY)
        with pytest.raises(FileMissing):
            await other.get(KEY)

    asyncio.run(test())


def test_a_folder_that_loses_its_last_file_is_still_the_one(tmp_path):
    """And says that a file is missing, as only the file is."""

    async def test() -> None:
        storage = storage_in(tmp_path)
        await storage.put(KEY, b"picture", PNG)
        await storage.delete_under("jobs/1")
        with pytest.raises(FileMissing):
            await storage.get(KEY)
        await storage.put(KEY, b"again", PNG)

    asyncio.run(test())
