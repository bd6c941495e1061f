"""What a command line asks for, by what the model takes; and the advice where it is wrong."""

from pathlib import Path

import pytest

from project.cli import inputs
from project.cli.inputs import InputSpec
from project.errors import ConfigurationError


def spec(name: str, kind: str = "image", *, required: bool = True) -> InputSpec:
    return InputSpec(name, kind, required)


ONE, TWO, NONE = [spec("image")], [spec("content"), spec("style")], []
MAIL = [spec("text", "text")]
ASKED = [spec("question", "text"), spec("photo"), spec("hint", "text", required=False)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with two files in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def asked(takes, *paths, **named):
    items = inputs.items("model", takes, [Path(path) for path in paths], list(named.items()))
    return [dict(item.inputs) for item in items]


def test_each_path_is_the_first_image_of_a_job(folder):
    """The others stand in each."""
    assert asked(ONE, "a.png", "b.png") == [{"image": Path("a.png")}, {"image": Path("b.png")}]
    assert asked(TWO, "a.png", "gone.png", style="b.png") == [
        {"content": Path("a.png"), "style": Path("b.png")},
        {"content": Path("gone.png"), "style": Path("b.png")},
    ]


def test_images_by_name_are_one_job(folder):
    """In the order of the model, so that the result is called like the first."""
    assert asked(ONE, image="a.png") == asked(ONE, image="@a.png") == [{"image": Path("a.png")}]
    assert asked(TWO, style="b.png", content="a.png") == [
        {"content": Path("a.png"), "style": Path("b.png")}
    ]
    assert asked(NONE) == [{}]


def test_a_text_stands_for_itself_or_is_a_file(folder):
    """As with curl; files are the first text where the model takes no picture."""
    assert asked(MAIL, text="a.png") == [{"text": "a.png"}]
    assert asked(MAIL, text="@a.png") == asked(MAIL, "a.png") == [{"text": Path("a.png")}]
    assert asked(ASKED, "a.png", question="why?") == [{"photo": Path("a.png"), "question": "why?"}]


def test_an_input_that_may_be_left_out_is_left_out(folder):
    """Unless it is given."""
    assert asked([spec("image", required=False)]) == [{}]
    assert asked(ASKED, "a.png", question="?", hint="!")[0]["hint"] == "!"


def test_an_item_is_called_like_its_file_or_its_text(folder):
    """A long text is shortened; what has neither is called like the model."""
    (item,) = inputs.items("model", TWO, [], [("style", "a.png"), ("content", "b.png")])
    assert (item.label, item.stem, item.path) == ("b.png", "b", Path("b.png"))
    (item,) = inputs.items("model", MAIL, [], [("text", "so\nlong " * 20)])
    assert (item.label, item.stem, item.path) == (f"{'so long ' * 4}so long…", "model", None)
    (item,) = inputs.items("model", NONE, [], [])
    assert (item.label, item.stem) == ("model", "model")


def test_a_folder_has_the_files_that_the_model_can_take(folder):
    """Pictures by their suffix; texts have any other, and hidden files are none."""
    for name in ("mail.txt", "0001.7848dde", ".hidden", "inside/b.JPG", "inside/c.eml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")

    def found(takes):
        return [str(path) for path in inputs.files_of([Path()], takes)]

    assert found(ONE) == found(ASKED) == ["a.png", "b.png", "inside/b.JPG"]
    assert found(MAIL) == ["0001.7848dde", "inside/c.eml", "mail.txt"]
    assert inputs.files_of([], ONE) == []
    (folder / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no image files in empty"):
        inputs.files_of([Path("empty")], ONE)


def test_a_file_that_is_no_text_is_named(folder):
    """With the place that is wrong."""
    (folder / "latin").write_bytes("é".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"cannot read latin as a text: .*byte 0"):
        inputs.read_text(Path("latin"))


@pytest.mark.parametrize(
    ("takes", "paths", "named", "said"),
    [
        (ONE, [], {}, "give --input image=PATH; or files, each of which is `image`"),
        (ONE, ["a.png"], {"image": "b.png"}, "each file, such as a.png, would be `image`"),
        (ONE, ["a.png"], {"photo": "b.png"}, "--input photo: model knows none of that name"),
        (ONE, [], {"image": "gone.png"}, "cannot read gone.png: No such file"),
        (ONE, [], {"image": "."}, "cannot read .: it is not a file"),
        (ONE, [], {"image": "/dev/zero"}, "cannot read /dev/zero: it is not a file"),
        (TWO, ["a.png"], {}, "model takes content and style: give --input style=PATH"),
        (TWO, [], {"style": "a.png"}, "give --input content=PATH; or files"),
        (MAIL, [], {}, "give --input text=TEXT; or files, each of which is `text`"),
        (MAIL, [], {"text": "@gone"}, "cannot read gone: No such file"),
        (ASKED, ["a.png"], {}, "takes question and photo and hint: give --input question=TEXT"),
        (NONE, ["a.png"], {}, "model takes no file: leave out a.png"),
        (NONE, [], {"image": "a.png"}, "it takes no input"),
    ],
)
def test_what_does_not_fit_the_model_is_said_before_anything_is_sent(
    folder, takes, paths, named, said
):
    """With what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        asked(takes, *paths, **named)
    assert said in caught.value.detail


def test_an_input_that_is_named_twice_is_refused(folder):
    """Nobody knows which one was meant."""
    with pytest.raises(ConfigurationError, match="give it once"):
        inputs.items("model", TWO, [], [("style", "a.png"), ("style", "b.png")])


def test_a_file_that_no_server_takes_is_not_read(folder):
    """A terabyte of nothing."""
    path = folder / "huge"
    with path.open("wb") as file:
        file.truncate(inputs.MAX_BYTES + 1)
    with pytest.raises(ConfigurationError, match="send a smaller one"):
        inputs.read(path)


def test_a_key_is_each_jobs_own_unless_one_is_given(folder):
    """One job has it as it is; several have it with what tells their files apart."""
    items = [*inputs.items("model", ONE, [folder / "a.png", folder / "b.png"], [])]
    first, second = (inputs.form(item, [("steps", "3")]) for item in items)
    assert inputs.key_of(None, first, alone=True) != inputs.key_of(None, first, alone=True)
    assert inputs.key_of("mine", first, alone=True) == "mine"
    key = inputs.key_of("mine", first, alone=False)
    assert key.startswith("mine-")
    assert key == inputs.key_of("mine", first[1:], alone=False)
    assert key != inputs.key_of("mine", second, alone=False)


def test_a_request_has_the_parameters_and_the_files(folder):
    """Every file with its name and its kind."""
    (item,) = inputs.items("model", ONE, [folder / "a.png"], [])
    assert inputs.form(item, [("steps", "3")]) == [
        ("steps", (None, "3")),
        ("image", ("a.png", b"a.png", "image/png")),
    ]


def test_a_text_is_a_field_of_the_form_and_a_file_of_text_is_a_file(folder):
    """The server takes both."""
    (folder / "mail.txt").write_text("hello")
    (typed,) = inputs.items("model", MAIL, [], [("text", "hello")])
    (file,) = inputs.items("model", MAIL, [folder / "mail.txt"], [])
    assert inputs.form(typed, []) == [("text", (None, "hello"))]
    assert inputs.form(file, []) == [("text", ("mail.txt", b"hello", "text/plain"))]


@pytest.mark.parametrize("key", ["", "two words", "é", "a\nb", "x" * 223])
def test_a_key_that_no_header_can_hold_is_refused(key):
    """Before anything is sent, for a broken header looks like a broken connection."""
    with pytest.raises(ConfigurationError, match="visible ASCII"):
        inputs.check_key(key)


def test_a_file_of_any_name_can_be_sent(folder):
    """Its name is for people; a name that is no UTF-8 has question marks."""
    path = folder / "a\udcff.png"
    path.write_bytes(b"x")
    (item,) = inputs.items("model", ONE, [path], [])
    assert inputs.form(item, []) == [("image", ("a?.png", b"x", "image/png"))]
