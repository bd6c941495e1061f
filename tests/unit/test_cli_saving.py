"""Results on disk: whole or not at all, under names that are free."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from project.cli import saving
from project.cli.connection import ErrorResponse, Server, Unreachable
from project.errors import ConfigurationError

pytestmark = pytest.mark.anyio
JOB = {"id": "a1", "status": "succeeded", "result": {"media_type": "image/png", "size": 3}}


async def saved(folder: Path, data: bytes = b"abc", job: dict = JOB, stem: str = "a") -> Path:
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, content=data))
    async with Server("http://server", transport=transport) as server:
        return await saving.save(server, job, folder, stem)


@pytest.mark.parametrize("data", [b"", b"ab", b"abcd"])
async def test_a_result_of_another_size_is_not_kept(tmp_path, data):
    """A proxy may cut an answer and end it well."""
    with pytest.raises(Unreachable, match="its result has 3 bytes"):
        await saved(tmp_path, data)
    assert list(tmp_path.iterdir()) == []


async def test_a_result_that_was_deleted_is_said(tmp_path):
    """Nothing can be downloaded."""
    with pytest.raises(ErrorResponse, match="was deleted at the server"):
        await saved(tmp_path, job=JOB | {"result": None})


async def test_a_folder_that_is_gone_says_how_to_get_the_result_later(tmp_path):
    """The job is done; it is the disk that is not."""
    with pytest.raises(ConfigurationError, match=r"No such file.*jobs fetch a1 --out DIR"):
        await saved(tmp_path / "gone")


async def test_names_are_numbered_and_nobodys_file_is_replaced(tmp_path):
    """Not even where many save at once."""
    (tmp_path / "a.png").write_text("mine")

    def put(number):
        temporary = tmp_path / f".{number}"
        temporary.write_text(str(number))
        return saving.move_to_free_name(temporary, tmp_path, "a", ".png")

    with ThreadPoolExecutor() as pool:
        paths = list(pool.map(put, range(50)))
    assert (tmp_path / "a.png").read_text() == "mine"
    assert {path.read_text() for path in paths} == {str(number) for number in range(50)}
    assert {path.name for path in tmp_path.iterdir()} == {"a.png"} | {path.name for path in paths}
    assert tmp_path / "a-51.png" in paths


@pytest.mark.parametrize("stem", ["é" * 127, "🐘" * 60, "x" * 251, "\udcff" * 250, "a"])
async def test_a_long_name_is_shortened(tmp_path, stem):
    """The number and the suffix have room; no character is halved."""
    first, second = await saved(tmp_path, stem=stem), await saved(tmp_path, stem=stem)
    assert first.read_bytes() == second.read_bytes() == b"abc"
    assert second.name.endswith("-2.png")


@pytest.mark.parametrize(
    ("media_type", "suffix"),
    [
        ("image/png", ".png"),
        ("application/json; charset=utf-8", ".json"),
        ("image/webp", ".webp"),
        ("", ".bin"),
        ("../../etc/passwd", ".bin"),
    ],
)
def test_a_suffix_tells_the_media_type(media_type, suffix):
    """And is never a path."""
    assert saving.suffix_of(media_type) == suffix


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_refused_before_anything_is_sent(tmp_path, where):
    """A file is in its way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write there"):
        saving.make_folder(tmp_path / where)
