"""`stream`: a camera of files, and what it reports of the answers."""

import re

import pytest

from tests.commands import command
from tests.conftest import picture
from tests.job_server import JobServer
from tests.plugins.count import Count
from tests.plugins.finder import Finder
from tests.plugins.mail import Mail
from tests.plugins.mix import Mix


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = [Finder("finder"), Mail("mail"), Mix("mix"), Count("count")]
    with JobServer(tmp_path_factory.mktemp("server"), models) as server:
        yield server


@pytest.fixture
def stream(server, tmp_path):
    """Runs `stream` for a second in a folder with two pictures and two texts."""
    (tmp_path / "white.png").write_bytes(picture())
    (tmp_path / "black.jpg").write_bytes(picture("JPEG", colour="black"))
    (tmp_path / "notes.txt").write_text("a prize")
    short = ("--seconds", "0.5", "--fps", "20", "--url", server.url)
    return lambda *words: command("stream", *words, *short, cwd=tmp_path)


def test_pictures_are_played_and_the_answers_reported(stream):
    """Those of a folder, again and again; every frame is answered or dropped."""
    done = stream("finder", ".")
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(
        r"in all 10 frames: ([\d.]+) answers/s, age \d+ ms, p95 \d+ ms, (\d+) dropped",
        done.stdout.splitlines()[-1],
    )
    assert found
    assert float(found[1]) > 0


def test_texts_and_shared_inputs_are_played_too(stream):
    """A text is a frame; a second picture is sent once."""
    for words in (
        ("mail", "notes.txt", "-p", "word=prize"),
        ("mix", ".", "-i", "second=black.jpg"),
    ):
        done = stream(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "in all 10 frames" in done.stdout


def test_frames_that_fail_are_counted_and_the_last_is_told(stream):
    """The session goes on, and the exit code says it."""
    done = stream("finder", "notes.txt")
    assert done.returncode == 1
    assert "failed" in done.stdout
    assert "Invalid image: send a JPEG" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope", "white.png"), "has no model nope"),
        (("count", "-p", "to=3"), "count has no live stream: it runs in the background"),
        (("finder",), "finder takes image: give --input image=PATH"),
        (("finder", "white.png", "-p", "size=huge"), "correct the parameters named in errors"),
    ],
)
def test_a_wrong_command_says_what_to_do_in_a_line(stream, words, said):
    """Also what the server alone knows."""
    done = stream(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_server_that_is_not_there_is_said_at_once(tmp_path):
    """In a line."""
    (tmp_path / "white.png").write_bytes(picture())
    url = "http://127.0.0.1:9"
    done = command("stream", "finder", "white.png", "--url", url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"no answer from {url}")
