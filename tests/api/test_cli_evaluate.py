"""`evaluate` as a person runs it: tables, JSON, and a page with the pictures of the mistakes."""

import json
import re

import pytest

from tests.commands import PLUGINS, command
from tests.conftest import picture


@pytest.fixture
def evaluate(tmp_path):
    """Runs `evaluate` in a folder, with the models of tests/plugins."""
    return lambda *words, **options: command(
        "evaluate", *words, cwd=tmp_path, plugins=PLUGINS, **options
    )


@pytest.fixture
def photos(tmp_path):
    """Six pictures, a grey one among them; two are in the wrong folder, one is torn."""
    colours = {
        "light": {"a.png": "#eeeeee", "b.png": "#dddddd", "wrong.png": "#222222"},
        "dark": {"a.png": "black", "wrong.png": "white"},
        "nothing": {"a.png": "#808080"},
    }
    for label, files in colours.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for name, colour in files.items():
            (tmp_path / "photos" / label / name).write_bytes(picture(colour=colour))
    (tmp_path / "photos" / "dark" / "torn.png").write_text("torn")
    (tmp_path / "photos" / "loose.png").write_bytes(picture())
    return tmp_path / "photos"


def test_a_folder_of_classes_becomes_figures_and_a_page_with_drawings(evaluate, photos, tmp_path):
    """`nothing` is what a detector says that finds nothing; files left out are named."""
    done = evaluate("finder", "photos", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["samples"], found["correct"]) == (6, 4)
    assert [it["input"] for it in found["mistakes"]] == [
        "photos/dark/wrong.png",
        "photos/light/wrong.png",
    ]
    assert found["mistakes"][0]["predicted"] == "white, very light"
    assert "left out: 1 files of photos that are in no folder of a class" in done.stderr
    assert "left out: photos/dark/torn.png: send a JPEG" in done.stderr
    page = (tmp_path / found["page"]).read_text()
    assert found["page"] == "var/evaluation/finder.html"
    assert len(re.findall(r'<img src="data:image/jpeg;base64,', page)) == 2
    assert "photos/light/wrong.png" in page
    assert "torn.png: send a JPEG" in page


def test_texts_of_a_csv_are_printed_for_people(evaluate, tmp_path):
    """Accuracy, classes, the matrix and the worst mistakes; the page goes where it is wanted."""
    rows = ["a prize,spam", "hello,ham", "a prize of prizes,ham", "crash,ham", "refuse,ham"]
    (tmp_path / "mails.csv").write_text("\n".join(["text,label", *rows]))
    done = evaluate("mail", "mails.csv", "--out", "made/page.html", raises=True)
    assert done.returncode == 0, done.stderr
    assert "2 of 3 right, accuracy 0.667 (95 %: 0.208 to 0.939)" in done.stdout
    assert "a prize of prizes" in done.stdout
    assert "ValueError: cannot read crash" in done.stderr
    assert "left out: crash: model mail failed" in done.stderr
    assert "left out: refuse: send another text" in done.stderr
    assert "left out: 2 in all; the page names each" in done.stderr
    assert "a prize of prizes" in (tmp_path / "made" / "page.html").read_text()


def test_parameters_are_those_of_predict(evaluate, tmp_path):
    """The same model with another threshold."""
    (tmp_path / "mails.csv").write_text("text,label\na gift,spam\n")
    for words, correct in (((), 0), (("-p", "word=gift"), 1)):
        done = evaluate("mail", "mails.csv", "--json", *words)
        assert json.loads(done.stdout)["correct"] == correct


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mix", "photos"), "the results of mix have no label to compare"),
        (("finder", "gone"), "gone: name a folder that has one folder for each class"),
        (("finder", "photos", "-p", "x=1"), "x: Extra inputs are not permitted"),
        (("finder", "others"), "no such labels: lihgt (is it 'light'?)"),
        (("mail", "photos"), "there are no files in folders of photos"),
        (("finder", "photos", "--out", "photos/loose.png/x.html"), "cannot write photos/loose.png"),
        (("finder", "torn"), "none of 1 samples was predicted; torn/dark/torn.png: send a JPEG"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(evaluate, photos, tmp_path, words, said):
    """Exit status 1."""
    (tmp_path / "others" / "lihgt").mkdir(parents=True)
    (tmp_path / "others" / "lihgt" / "a.png").write_bytes(picture())
    (tmp_path / "torn" / "dark").mkdir(parents=True)
    (tmp_path / "torn" / "dark" / "torn.png").write_text("torn")
    done = evaluate(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
