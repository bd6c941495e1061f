"""`predict` and `models`: the same answers as over HTTP, for files, texts and parameters."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image

from tests.commands import PLUGINS, command
from tests.conftest import picture
from tests.photos import photo


@pytest.fixture
def folder(tmp_path):
    """Two photos, one of them in a folder inside, and a file that is no picture."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "chelsea.png").write_bytes(photo("chelsea").read_bytes())
    (tmp_path / "inside" / "rocket.JPG").write_bytes(photo("rocket").read_bytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


Predict = Callable[..., CompletedProcess[str]]


@pytest.fixture
def predict(folder) -> Predict:
    """Runs `predict` in the folder, with the models of tests/plugins."""

    def run(*words: str, raises: bool = False) -> CompletedProcess[str]:
        return command("predict", *words, cwd=folder, plugins=PLUGINS, raises=raises)

    return run


def lines_of(done: CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_predict_takes_folders_and_gives_one_json_object_a_line(folder, real_client):
    """The answers are those of the server, byte for byte."""
    done = command("predict", "classification", str(folder), "-p", "top_k=2", "--json")
    lines = lines_of(done)
    assert done.returncode == 0
    assert [Path(line["path"]).name for line in lines] == ["chelsea.png", "rocket.JPG"]
    answer = real_client.post(
        "/v1/models/classification/predictions?top_k=2",
        content=photo("chelsea").read_bytes(),
        headers={"content-type": "image/png"},
    )
    assert lines[0]["result"] == answer.json()


def test_one_bad_file_fails_the_command_and_costs_no_other_its_result(predict):
    """Exit status 1, and every file has its line."""
    done = predict("finder", ".", "notes.txt", "--json", "gone.jpg")
    lines = lines_of(done)
    assert done.returncode == 1
    assert ["result" in line for line in lines] == [True, True, False, False]
    assert "JPEG" in lines[2]["error"]
    assert "No such file" in lines[3]["error"]


def test_predict_prints_a_table_for_people(predict):
    """Names and probabilities, best first."""
    done = predict("classification", "chelsea.png")
    assert done.returncode == 0
    assert "chelsea.png" in done.stdout
    assert "tiger cat" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("-i", "text=a prize"),
        ("--input", "text=@mails/first"),
        ("mails/first",),
        ("mails",),
        ("-i", "text=nothing", "-p", "tags=nothing", "-p", "tags=more"),
    ],
)
def test_a_text_is_typed_or_read_from_files(predict, folder, words):
    """A parameter that takes a list is repeated."""
    (folder / "mails").mkdir()
    (folder / "mails" / "first").write_text("a prize")
    done = predict("mail", *words, "--json")
    (line,) = lines_of(done)
    assert done.returncode == 0, done.stderr
    assert line["result"]["label"] == "spam"
    assert line["path"] == (None if words[1:] and "@" not in words[1] else "mails/first")


def test_a_text_and_its_reasons_are_printed_for_people(predict):
    """The text stands for itself."""
    done = predict("mail", "-i", "text=a prize for you")
    assert "a prize for you" in done.stdout
    assert "spam  0.750" in done.stdout
    assert "prize  1.0" in done.stdout


def test_a_picture_as_the_result_is_saved_and_no_file_is_overwritten(predict, folder):
    """In this folder, called like the input and the model."""
    for number in range(2):
        done = predict("mix", "chelsea.png", "-i", "second=inside/rocket.JPG")
        name = f"chelsea-mix{'-2' if number else ''}.png"
        assert f"saved {name}" in done.stdout
        with Image.open(folder / name) as made, Image.open(folder / "chelsea.png") as sent:
            assert (made.format, made.size) == ("PNG", sent.size)


@pytest.mark.parametrize(
    ("out", "saved", "kind"),
    [
        ("made/deep/", "made/deep/chelsea.png", "PNG"),
        ("inside", "inside/chelsea.png", "PNG"),
        ("mixed.jpg", "mixed.jpg", "JPEG"),
        ("made/mixed.WEBP", "made/mixed.webp", "WEBP"),
    ],
)
def test_a_picture_goes_where_out_says(predict, folder, out, saved, kind):
    """A folder, which is created, or a file, whose suffix says what it is."""
    done = predict("mix", "-i", "first=chelsea.png", "--out", out, "--json", "-p", "quality=20")
    assert done.returncode == 0, done.stderr
    assert lines_of(done) == [{"path": "chelsea.png", "saved": saved}]
    with Image.open(folder / saved) as made:
        assert made.format == kind


def test_what_was_found_is_drawn_beside_the_result(predict, folder):
    """A folder has a drawing for each picture."""
    (folder / "white.png").write_bytes(picture())
    done = predict("finder", "white.png", "chelsea.png", "--draw", "-o", "drawn", "--json")
    first, second = lines_of(done)
    assert first["result"]["boxes"][0]["label"] == "white, very light"
    assert (first["saved"], second["saved"]) == ("drawn/white.png", "drawn/chelsea.png")
    with Image.open(folder / "drawn" / "white.png") as drawn:
        assert drawn.size == (32, 32)
        assert len(drawn.getcolors() or []) > 1  # no longer white alone


def test_a_model_of_parameters_alone_runs_though_it_is_served_as_jobs(predict):
    """Its result has a row of its own."""
    done = predict("count", "-p", "to=3", "--json")
    assert lines_of(done) == [{"path": None, "result": {"numbers": [1, 2, 3], "title": "numbers"}}]


def test_the_traceback_of_a_model_that_raises_is_printed_for_its_author(predict, folder):
    """Once for each place in its code; every input has its line."""
    words = ("one crash", "another crash", "fine")
    for number, text in enumerate(words):
        (folder / f"{number}.eml").write_text(text)
    done = predict("mail", "0.eml", "1.eml", "2.eml", "--json", raises=True)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "plugins/mail.py" in done.stderr
    assert "ValueError: cannot read one crash" in done.stderr
    assert ["error" in line for line in lines_of(done)] == [True, True, False]


def test_a_file_that_cannot_be_imported_shows_its_author_where(folder):
    """A traceback, then the line that every command says."""
    (folder / "broken.py").write_text("value = 1 / 0\n")
    done = command("predict", "broken", "x", cwd=folder, plugins=folder, raises=True)
    assert done.returncode == 1
    assert "value = 1 / 0" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("project/models/broken.py cannot be imported")


def test_a_model_that_cannot_be_loaded_fails_the_command(folder):
    """The log, with the traceback, is on stderr; stdout has results alone."""
    source = (
        (PLUGINS / "mail.py")
        .read_text()
        .replace(
            "    def preprocess",
            "    def load(self) -> None:\n        raise OSError('no weights')\n\n"
            "    def preprocess",
        )
    )
    (folder / "unloaded.py").write_text(source)
    done = command(
        "predict", "unloaded", "-i", "text=x", "--json", cwd=folder, plugins=folder, raises=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "unloaded cannot be loaded: no weights" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dog", "x.png"), "no file project/models/dog.py; there are: "),
        (("finder", "x.png", "-p", "top_k=0"), "top_k: Extra inputs are not permitted"),
        (("finder", "empty"), "no image files"),
        (("count",), "to: Field required"),
        (("mail", "-i", "text=x", "-p", "word=a", "-p", "word=b"), "word: sent more than once"),
        (("mix", "chelsea.png", "--draw"), "leave out --draw: its result is a picture already"),
        (("mix", "chelsea.png", "--out", "notes.txt/x"), "cannot write there: Not a directory"),
    ],
)
def test_a_wrong_command_says_what_to_do_without_a_traceback(predict, folder, words, said):
    """Before anything is loaded; exit status 1."""
    (folder / "empty").mkdir()
    done = predict(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


@pytest.mark.parametrize(("text", "said"), [("refuse this", "text: is refused"), ("", "text: ")])
def test_a_text_that_the_model_refuses_says_why(predict, text, said):
    """By its own words, or those of its field."""
    done = predict("mail", "-i", f"text={text}", "--json")
    assert done.returncode == 1
    assert said in lines_of(done)[0]["error"]


def test_models_lists_what_there_is():
    """With what goes in, what comes out and how it is served."""
    done = command("models", plugins=PLUGINS)
    assert done.returncode == 0
    lines = [line.strip("│ ") for line in done.stdout.splitlines() if line.startswith("│")]
    pairs = zip(lines[::2], lines[1::2], strict=True)  # a model has two lines
    rows = {first.split()[0]: f"{first} {second}" for first, second in pairs}
    assert "image: picture → class" in rows["classification"]
    assert "1.0.0, Apache-2.0, at once, or as a job" in rows["classification"]
    assert " in MODELS" in rows["classification"]
    assert "text: text → reason, label" in rows["mail"]
    assert "not in MODELS" in rows["mail"]
    assert "first: picture, [second: picture] → picture" in rows["mix"]
    assert "to → fields of its own" in rows["count"]
    assert "as jobs alone" in rows["count"]
