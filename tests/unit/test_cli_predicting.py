"""Where `predict` puts pictures, and which wishes for them it refuses."""

from pathlib import Path

import pytest

from project.cli.predicting import Command
from project.errors import ConfigurationError


def command(out: str | None = None, *, draw: bool = False) -> Command:
    return Command("model", [], [], [], draw, Path(out) if out else None)


def test_a_result_that_is_no_picture_has_no_place():
    """It is printed."""
    assert command().target(1, is_picture=False, can_draw=True) is None


@pytest.mark.parametrize(
    ("out", "folder", "stem", "media_type"),
    [
        (None, ".", None, "image/png"),
        ("made", "made", None, "image/png"),
        ("made/cut.PNG", "made", "cut", "image/png"),
        ("cut.jpeg", ".", "cut", "image/jpeg"),
        ("cut.webp", ".", "cut", "image/webp"),
        ("folder.jpg", "folder.jpg", None, "image/png"),
    ],
)
def test_out_is_a_folder_or_a_file(tmp_path, monkeypatch, out, folder, stem, media_type):
    """The suffix of a file says what it is; a folder that is there is one, whatever its name."""
    monkeypatch.chdir(tmp_path)
    Path("folder.jpg").mkdir()
    target = command(out).target(1, is_picture=True, can_draw=False)
    assert target
    assert (target.folder, target.stem, target.media_type) == (Path(folder), stem, media_type)


def test_a_folder_takes_any_number():
    """And so does the default."""
    for out in (None, "made"):
        assert command(out).target(1000, is_picture=True, can_draw=False)


@pytest.mark.parametrize(
    ("wanted", "count", "is_picture", "can_draw", "said"),
    [
        (command(draw=True), 1, False, False, "leave out --draw: it cannot draw its result"),
        (command(draw=True), 1, True, False, "leave out --draw: its result is a picture already"),
        (command("x"), 1, False, False, "the result of model is no picture; write --json > FILE"),
        (command("x"), 1, False, True, "> FILE instead, or add --draw"),
        (command("x.png"), 3, True, False, "name a folder for 3 pictures"),
        (command("x.gif"), 1, True, False, "name a .png, .jpg or .webp, or a folder"),
    ],
)
def test_what_cannot_be_is_refused_with_advice(wanted, count, is_picture, can_draw, said):
    """Before a model is loaded."""
    with pytest.raises(ConfigurationError, match=said):
        wanted.target(count, is_picture=is_picture, can_draw=can_draw)
