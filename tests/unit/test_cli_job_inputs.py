"""What a command line asks for, by what the model takes; and what it is told that is wrong."""

from pathlib import Path

import pytest

from project.cli import job_inputs
from project.errors import ConfigurationError

ONE, TWO, NONE = ("image",), ("content", "style"), ()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with two files in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def asked(takes, *paths, **named):
    items = job_inputs.items("model", takes, [Path(path) for path in paths], list(named.items()))
    return [{name: str(path) for name, path in item.images.items()} for item in items]


def test_each_path_is_the_first_image_of_a_job(folder):
    """The others stand in each."""
    assert asked(ONE, "a.png", "b.png") == [{"image": "a.png"}, {"image": "b.png"}]
    assert asked(TWO, "a.png", "gone.png", style="b.png") == [
        {"content": "a.png", "style": "b.png"},
        {"content": "gone.png", "style": "b.png"},
    ]


def test_images_by_name_are_one_job(folder):
    """In the order of the model, so that the result is called like the first."""
    assert asked(ONE, image="a.png") == [{"image": "a.png"}]
    assert asked(TWO, style="b.png", content="a.png") == [{"content": "a.png", "style": "b.png"}]
    assert asked(NONE) == [{}]


@pytest.mark.parametrize(
    ("takes", "paths", "named", "said"),
    [
        (ONE, [], {}, "give --image image=PATH; or files, each of which is `image`"),
        (ONE, ["a.png"], {"image": "b.png"}, "each file, such as a.png, would be `image`"),
        (ONE, ["a.png"], {"photo": "b.png"}, "--image photo: model knows none of that name"),
        (ONE, [], {"image": "gone.png"}, "cannot read gone.png: No such file"),
        (ONE, [], {"image": "."}, "cannot read .: it is not a file"),
        (ONE, [], {"image": "/dev/zero"}, "cannot read /dev/zero: it is not a file"),
        (TWO, ["a.png"], {}, "model takes content and style: give --image style=PATH"),
        (TWO, [], {"style": "a.png"}, "give --image content=PATH; or files"),
        (NONE, ["a.png"], {}, "model takes no image: leave out a.png"),
        (NONE, [], {"image": "a.png"}, "it takes no image"),
    ],
)
def test_what_does_not_fit_the_model_is_said_before_anything_is_sent(
    folder, takes, paths, named, said
):
    """With what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        asked(takes, *paths, **named)
    assert said in caught.value.detail


def test_an_image_that_is_named_twice_is_refused(folder):
    """Nobody knows which one was meant."""
    with pytest.raises(ConfigurationError, match="give it once"):
        job_inputs.items("model", TWO, [], [("style", "a.png"), ("style", "b.png")])


def test_a_file_that_no_server_takes_is_not_read(folder):
    """A terabyte of nothing."""
    path = folder / "huge"
    with path.open("wb") as file:
        file.truncate(job_inputs.MAX_BYTES + 1)
    with pytest.raises(ConfigurationError, match="send a smaller one"):
        job_inputs.read(path)


def test_a_key_is_each_jobs_own_unless_one_is_given(folder):
    """One job has it as it is; several have it with what tells their files apart."""
    items = [*job_inputs.items("model", ONE, [folder / "a.png", folder / "b.png"], [])]
    first, second = (job_inputs.form(item, [("steps", "3")]) for item in items)
    assert job_inputs.key_of(None, first, alone=True) != job_inputs.key_of(None, first, alone=True)
    assert job_inputs.key_of("mine", first, alone=True) == "mine"
    key = job_inputs.key_of("mine", first, alone=False)
    assert key.startswith("mine-")
    assert key == job_inputs.key_of("mine", first[1:], alone=False)
    assert key != job_inputs.key_of("mine", second, alone=False)


def test_a_request_has_the_parameters_and_the_files(folder):
    """Every file with its name and its kind."""
    (item,) = job_inputs.items("model", ONE, [folder / "a.png"], [])
    assert job_inputs.form(item, [("steps", "3")]) == [
        ("steps", (None, "3")),
        ("image", ("a.png", b"a.png", "image/png")),
    ]


@pytest.mark.parametrize("key", ["", "two words", "é", "a\nb", "x" * 223])
def test_a_key_that_no_header_can_hold_is_refused(key):
    """Before anything is sent, for a broken header looks like a broken connection."""
    with pytest.raises(ConfigurationError, match="visible ASCII"):
        job_inputs.check_key(key)


def test_a_file_of_any_name_can_be_sent(folder):
    """Its name is for people; a name that is no UTF-8 has question marks."""
    path = folder / "a\udcff.png"
    path.write_bytes(b"x")
    (item,) = job_inputs.items("model", ONE, [path], [])
    assert job_inputs.form(item, []) == [("image", ("a?.png", b"x", "image/png"))]
