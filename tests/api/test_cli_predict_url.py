"""`predict --url`: a server's answers, printed and saved as those of this machine."""

import json
import socket

import pytest
from PIL import Image

from tests.commands import command
from tests.conftest import picture
from tests.job_server import Fault, JobServer
from tests.plugins.count import Count
from tests.plugins.finder import Finder
from tests.plugins.mail import Mail
from tests.plugins.mix import Mix


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = [Finder("finder"), Mail("mail"), Mix("mix"), Count("count")]
    with JobServer(tmp_path_factory.mktemp("server"), models, job_attempts=1) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """A white picture, a black one, and a file that is none."""
    (tmp_path / "white.png").write_bytes(picture())
    (tmp_path / "black.jpg").write_bytes(picture("JPEG", colour="black"))
    (tmp_path / "notes.txt").write_text("a prize")
    return tmp_path


@pytest.fixture
def predict(server, folder):
    """Runs `predict --url` in the folder."""
    return lambda *words: command("predict", *words, "--url", server.url, cwd=folder)


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_files_are_sent_with_parameters_and_each_has_its_line(predict):
    """A bad one costs no other its result."""
    done = predict("finder", ".", "notes.txt", "--json")
    black, white, notes = lines_of(done)
    assert done.returncode == 1
    assert black["result"]["boxes"][0]["label"] == "dark"
    assert white["result"]["boxes"][0]["label"] == "white, very light"
    assert notes["error"].startswith("Invalid image: send a JPEG, PNG")


def test_a_text_is_sent_typed_or_as_a_file(predict):
    """Printed for people."""
    for words in (("-i", "text=a prize"), ("notes.txt",)):
        done = predict("mail", *words, "-p", "tags=a", "-p", "tags=b")
        assert done.returncode == 0, done.stderr
        assert "spam" in done.stdout


def test_pictures_and_drawings_are_saved(predict, folder):
    """As what the suffix says; nothing is overwritten."""
    done = predict("mix", "white.png", "-i", "second=black.jpg", "--out", "mixed.jpg", "--json")
    assert lines_of(done) == [{"path": "white.png", "saved": "mixed.jpg"}]
    with Image.open(folder / "mixed.jpg") as mixed:
        assert (mixed.format, mixed.convert("L").getpixel((0, 0))) == ("JPEG", 127)
    done = predict("finder", "white.png", "--draw", "--json")
    (line,) = lines_of(done)
    assert line["saved"] == "white-finder.png"
    assert line["result"]["boxes"]
    with Image.open(folder / "white-finder.png") as drawn:
        assert len(drawn.getcolors() or []) > 1


def test_a_model_in_the_background_runs_as_a_job_that_is_followed_to_its_end(server, predict):
    """Through a connection that breaks; the result is printed like any other."""
    before = len(server.jobs())
    server.faults = [Fault("POST", "/jobs", cut=0), Fault("GET", "/result", cut=0)]
    done = predict("count", "-p", "to=3", "--json")
    assert lines_of(done) == [
        {"path": None, "result": {"numbers": [1, 2, 3], "title": "numbers"}}
    ], done.stderr
    assert "retrying" in done.stderr
    assert len(server.jobs()) == before + 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope", "white.png"), "has no model nope; there are: finder, mail, mix, count"),
        (("finder",), "finder takes image: give --input image=PATH"),
        (("count", "-p", "to=3", "--draw"), "leave out --draw"),
    ],
)
def test_a_wrong_command_says_what_to_do_in_a_line(predict, words, said):
    """As without a server."""
    done = predict(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_parameter_that_the_server_refuses_is_named(predict):
    """The server alone knows them."""
    done = predict("count", "-p", "to=0", "--json")
    assert done.returncode == 1
    assert "to: Input should be greater than or equal to 1" in lines_of(done)[0]["error"]


def test_a_server_that_is_not_there_is_said_at_once(folder):
    """In a line."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = command("predict", "finder", "white.png", "--url", url, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"no answer from {url}")
