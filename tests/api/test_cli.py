"""`python -m project`: the same answers as over HTTP, for files and folders."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.photos import photo

ROOT = Path(__file__).parents[2]


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "project", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    """Two photos, one of them in a folder inside, and a file that is no picture."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "chelsea.png").write_bytes(photo("chelsea").read_bytes())
    (tmp_path / "inside" / "rocket.JPG").write_bytes(photo("rocket").read_bytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_predict_takes_folders_and_gives_one_json_object_a_line(folder, real_client):
    """The answers are those of the server, byte for byte."""
    done = command("predict", "classification", str(folder), "-p", "top_k=2", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [Path(line["path"]).name for line in lines] == ["chelsea.png", "rocket.JPG"]
    answer = real_client.post(
        "/v1/models/classification/predictions?top_k=2",
        content=photo("chelsea").read_bytes(),
        headers={"content-type": "image/png"},
    )
    assert lines[0]["result"] == answer.json()


def test_one_bad_file_fails_the_command_and_costs_no_other_its_result(folder):
    """Exit status 1, and every file has its line."""
    done = command(
        "predict",
        "classification",
        str(folder),
        str(folder / "notes.txt"),
        "--json",
        str(folder / "gone.jpg"),
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert ["result" in line for line in lines] == [True, True, False, False]
    assert "JPEG" in lines[2]["error"]
    assert "No such file" in lines[3]["error"]


def test_predict_prints_a_table_for_people(folder):
    """Names and probabilities, best first."""
    done = command("predict", "classification", str(folder / "chelsea.png"))
    assert done.returncode == 0
    assert "chelsea.png" in done.stdout
    assert "tiger cat" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "dog", "x.png"), "no file project/models/dog.py; there are: "),
        (("predict", "style_transfer", "x.png"), "jobs submit style_transfer"),
        (("predict", "classification", "x.png", "-p", "top_k=0"), "top_k: Input should be greater"),
        (("predict", "classification", "x.png", "-p", "top_k"), "name=value"),
        (("predict", "classification", "."), "no image files"),
        (("predict", "background_removal", "x.png"), "jobs submit background_removal"),
    ],
)
def test_a_wrong_command_says_what_to_do_without_a_traceback(words, said, tmp_path):
    """One line, exit status 1."""
    done = subprocess.run(
        [sys.executable, "-m", "project", *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_models_lists_what_there_is():
    """With what is served."""
    done = command("models")
    assert done.returncode == 0
    assert "classification" in done.stdout
    assert "Apache-2.0" in done.stdout
