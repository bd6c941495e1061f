"""`python -m project drift baseline` as a person runs it."""

import json

import pytest

from project.inference.drift.baseline import Baseline
from tests.commands import PLUGINS, command
from tests.photos import photo
from training.usual import variations

COUNT = 105


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Enough photos, one of them torn, one none at all."""
    folder = tmp_path_factory.mktemp("photos")
    for number, picture in enumerate(variations(1, COUNT)):
        picture.save(folder / f"{number:03}.jpg")
    torn = folder / "torn.jpg"
    torn.write_bytes(photo("rocket").read_bytes()[:2000])
    (folder / "words.png").write_text("not a picture")
    return folder


def test_a_folder_becomes_a_baseline(folder, tmp_path):
    """What was left out is named; the same folder gives the same bytes."""
    texts = []
    for name in ("one.json", "other.json"):
        target = tmp_path / "new" / name
        done = command("drift", "baseline", str(folder), "--out", str(target))
        assert done.returncode == 0, done.stderr
        assert str(target) in done.stdout
        assert f"{COUNT} files read, 2 left out" in done.stderr
        for bad in ("torn.jpg", "words.png"):
            (line,) = [line for line in done.stderr.splitlines() if bad in line]
            assert line.startswith("left out: ")
        texts.append(target.read_text())
    assert texts[0] == texts[1]
    baseline = Baseline.model_validate_json(texts[0])
    assert (baseline.model, baseline.samples) == ("classification", COUNT)
    assert len(baseline.histograms) == 5
    assert "Egyptian cat" in baseline.label.names


def test_by_default_it_is_written_where_the_server_looks(folder, tmp_path):
    """So that one command and a restart are all it takes."""
    variables = {"DRIFT_BASELINE_DIR": str(tmp_path)}
    done = command("drift", "baseline", str(folder), variables=variables)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "classification.baseline.json").read_text())
    assert made["samples"] == COUNT


def test_texts_become_a_baseline_too(tmp_path):
    """By their length and alphabet; a file that is no text is left out."""
    mails, target = tmp_path / "mails", tmp_path / "made.json"
    mails.mkdir()
    for number in range(COUNT):
        (mails / f"{number}.eml").write_text("a prize" if number % 2 else "é" * number + "hello")
    (mails / "latin").write_bytes(b"\xe9")
    words = ("drift", "baseline", str(mails), "--model", "mail", "--out", str(target))
    done = command(*words, "-p", "word=prize", plugins=PLUGINS)
    assert done.returncode == 0, done.stderr
    assert "not UTF-8" in done.stderr
    baseline = Baseline.model_validate_json(target.read_text())
    assert baseline.samples == COUNT
    assert set(baseline.label.names) == {"ham", "spam"}
    assert baseline.length
    assert baseline.non_ascii
    assert baseline.brightness is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{few}"], "3 predictions are too few to compare with: send at least 100"),
        (["{empty}"], "no image files in"),
        (["{empty}/gone"], "there is no folder"),
        (["{few}", "--model", "text_to_image"], "takes neither pictures nor texts"),
        (["{few}", "--model", "nothing"], "no file project/models/nothing.py"),
    ],
    ids=["few", "empty", "gone", "long", "unknown"],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path, words, says):
    """And nothing is written."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "few").mkdir()
    for number, picture in enumerate(variations(1, 3)):
        picture.save(tmp_path / "few" / f"{number}.png")
    places = {"few": tmp_path / "few", "empty": tmp_path / "empty"}
    target = tmp_path / "made.json"
    words = [word.format(**places) for word in words]
    done = command("drift", "baseline", *words, "--out", str(target))
    assert done.returncode == 1
    assert says in done.stderr
    assert not target.exists()


def test_a_place_that_cannot_be_written_is_named(folder, tmp_path):
    """After all the work, so it had better be clear."""
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "made.json"
    done = command("drift", "baseline", str(folder), "--out", str(target))
    assert done.returncode == 1
    assert f"cannot write {target}" in done.stderr
