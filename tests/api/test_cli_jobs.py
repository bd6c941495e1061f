"""`jobs` on the command line against the API of jobs, with a worker beside it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.commands import command
from tests.conftest import picture
from tests.fakes import ShadeModel
from tests.job_server import Blend, JobServer, Paint
from tests.job_worker import TurnModel
from tests.plugins.mail import Mail


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[JobServer]:
    folder = tmp_path_factory.mktemp("server")
    models = [ShadeModel(), Blend(), Paint(), TurnModel(), Mail("mail")]
    with JobServer(folder, models, job_attempts=1) as server:
        yield server


@pytest.fixture
def jobs(server):
    """Runs `jobs …` against the server."""
    return lambda *words: command("jobs", *map(str, words), "--url", server.url)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two pictures, one of them in a folder of its own, and a file that is none."""
    photos = tmp_path / "photos"
    (photos / "inside").mkdir(parents=True)
    (photos / "white.png").write_bytes(picture())
    (photos / "inside" / "black.JPG").write_bytes(picture("JPEG", colour="black", size=(20, 10)))
    (photos / "notes.txt").write_text("not a picture")
    return photos


@pytest.fixture
def out(tmp_path) -> Path:
    """Where results are to be put."""
    return tmp_path / "made" / "out"


def size_of(path: Path) -> tuple[int, int]:
    return Image.open(io.BytesIO(path.read_bytes())).size


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_file_is_a_job_whose_result_is_saved_under_its_name(jobs, folder, out):
    """Files and folders, with parameters; stdout says where each result is."""
    done = jobs("submit", "turn", folder, "--out", out, "-p", "degrees=90")
    assert (done.returncode, done.stderr) == (0, "")
    assert names(out) == ["black.png", "white.png"]
    assert size_of(out / "black.png") == (20, 10)
    for name in ("black", "white"):
        assert f"succeeded  {out / name}.png" in done.stdout


def test_a_result_that_is_no_picture_is_saved_as_json(jobs, folder, out):
    """What a prediction would have answered."""
    done = jobs("submit", "shade", folder / "white.png", "-o", folder, "-p", "threshold=1")
    assert done.returncode == 0
    assert json.loads((folder / "white.json").read_text())["label"] == "light"


def test_no_file_is_ever_overwritten(jobs, folder, out):
    """Neither one that was there nor one of the same command."""
    (folder / "twin").mkdir()
    (folder / "twin" / "white.jpg").write_bytes(picture(colour="red"))
    out.mkdir(parents=True)
    (out / "white.png").write_text("mine")
    both = (folder / "white.png", folder / "twin" / "white.jpg")
    assert jobs("submit", "turn", *both, "--out", out).returncode == 0
    assert names(out) == ["white-2.png", "white-3.png", "white.png"]
    assert (out / "white.png").read_text() == "mine"
    assert (out / "white-2.png").read_bytes() != (out / "white-3.png").read_bytes()


def test_a_model_of_two_images_takes_them_by_name(jobs, folder, out):
    """One job."""
    black = folder / "inside" / "black.JPG"
    words = ("--input", f"content={black}", "--input", f"style={folder / 'white.png'}")
    assert jobs("submit", "blend", *words, "--out", out).returncode == 0
    assert size_of(out / "black.png") == (20, 10)


def test_files_are_the_first_image_and_the_others_are_the_same_for_all(jobs, folder, out):
    """Many contents in one style."""
    done = jobs("submit", "blend", folder, "-i", f"style={folder / 'white.png'}", "-o", out)
    assert done.returncode == 0
    assert names(out) == ["black.png", "white.png"]


def test_a_model_of_words_takes_parameters_alone(jobs, tmp_path):
    """The result is named like the model."""
    done = jobs("submit", "paint", "--param", "prompt=a fox = on blue", "--out", tmp_path)
    assert done.returncode == 0
    assert size_of(tmp_path / "paint.png") == (len("a fox = on blue"), 1)


def test_texts_are_jobs_too(jobs, folder, out):
    """Typed, or a file each."""
    assert jobs("submit", "mail", "--input", "text=a prize", "--out", out).returncode == 0
    assert json.loads((out / "mail.json").read_text())["label"] == "spam"
    done = jobs("submit", "mail", folder / "notes.txt", "-o", out, "-p", "word=picture")
    assert done.returncode == 0
    assert json.loads((out / "notes.json").read_text())["reasons"][0]["text"] == "picture"


def test_what_fails_costs_no_other_its_result_and_is_said_in_a_line(jobs, folder, out):
    """A file that is no picture, and one that is gone."""
    files = ("notes.txt", "gone.png", "white.png")
    done = jobs("submit", "turn", *(folder / name for name in files), "-o", out)
    assert done.returncode == 1
    assert names(out) == ["white.png"]
    first, second = done.stderr.splitlines()
    assert first.startswith("notes.txt: Invalid image: send a JPEG, PNG")
    assert second == f"gone.png: cannot read {folder / 'gone.png'}: No such file or directory"


def test_the_problem_of_a_job_that_failed_is_said_with_its_id(server, jobs, folder, out):
    """As its worker wrote it."""
    (turn,) = [model for model in server._models if model.name == "turn"]
    turn.error = ValueError("secret words")
    try:
        done = jobs("submit", "turn", folder / "white.png", "--out", out)
    finally:
        turn.error = None
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("white.png: Model failed: model turn failed on this input")
    assert f"(job {server.jobs()[0].id})" in line
    assert names(out) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope", "{}/white.png"), "has no model nope; there are: shade, blend, paint, turn, mail"),
        (("../../health", "{}/white.png"), "has no model ../../health; there are"),
        (("turn", "{}/empty"), "no image files in"),
        (("turn", "{}/white.png", "-p", "degrees"), "--param degrees: write it as name=value"),
        (("blend", "{}/white.png"), "blend takes content and style: give --input style=PATH"),
        (("paint",), "paint: Invalid input: correct the parameters named in errors"),
        (("turn", "{}/white.png", "--out", "{}/notes.txt"), "cannot write there: File exists"),
        (("turn", "{}/white.png", "--idempotency-key", "two words"), "visible ASCII"),
        (("turn", "{}/white.png", "-p", "degrees=\udcff"), "is not UTF-8"),
    ],
)
def test_a_wrong_command_says_what_to_do_in_a_line(server, jobs, folder, out, words, said):
    """And nothing is sent."""
    (folder / "empty").mkdir()
    before = len(server.jobs())
    done = jobs("submit", "--out", out, *(word.format(folder) for word in words))
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(server.jobs()) == before


def test_the_same_key_makes_no_other_job(server, jobs, folder, out):
    """For several files too; with other parameters it is the mistake that it looks like."""
    words = ("--out", out, "--idempotency-key", f"key-{len(server.jobs())}")
    assert jobs("submit", "turn", folder, *words).returncode == 0
    before = len(server.jobs())
    assert jobs("submit", "turn", folder, *words).returncode == 0
    assert len(server.jobs()) == before
    assert names(out) == ["black-2.png", "black.png", "white-2.png", "white.png"]
    done = jobs("submit", "turn", folder, "-p", "degrees=1", *words)
    assert done.returncode == 1
    assert "white.png: Idempotency conflict: " in done.stderr


def test_jobs_are_listed_the_newest_first(server, jobs, folder, out):
    """By model, by state, and no more than asked for, over as many pages as it takes."""
    for _ in range(2):
        jobs("submit", "turn", folder / "white.png", "-o", folder)
    heading, first, second = jobs("list", "--limit", 2).stdout.splitlines()
    newest, next_one, *_ = [job.id for job in server.jobs()]
    assert heading.split() == ["id", "model", "status", "done", "created", "took"]
    assert [first.split()[0], second.split()[0]] == [newest, next_one]
    assert first.split()[1:4] == ["turn", "succeeded", "100%"]
    assert len(jobs("list", "--model", "nobody").stdout.splitlines()) == 1
    assert len(jobs("list", "--status", "running").stdout.splitlines()) == 1
    assert jobs("list", "--status", "lost").returncode == 2
    assert len(jobs("list", "--limit", 100).stdout.splitlines()) == 1 + len(server.jobs())


def test_one_job_is_shown_for_people_and_for_machines(server, jobs, folder, out):
    """All of it."""
    jobs("submit", "shade", folder / "white.png", "-o", folder, "-p", "threshold=3")
    job = server.jobs()[0]
    lines = dict(line.split(None, 1) for line in jobs("show", job.id).stdout.splitlines())
    assert lines["id"] == job.id
    assert lines["status"] == "succeeded, 100% done, runs: 1"
    assert lines["parameters"] == "threshold=3"
    assert lines["request_id"] == job.request_id
    assert lines["inputs"].startswith("image: image/png, ")
    assert lines["result"].startswith("application/json, ")
    view = json.loads(jobs("show", job.id, "--json").stdout)
    assert (view["id"], view["params"]) == (job.id, {"threshold": 3.0})


def test_a_waiting_job_is_cancelled_and_a_failed_one_run_again(server, jobs, folder, out):
    """What cannot be is said for that job, and the others have theirs."""
    server.works = False
    try:
        jobs_there = {job.id for job in server.jobs()}
        posted = server.post("turn", picture())
        done = jobs("cancel", posted, "0" * 32)
        assert done.returncode == 1
        assert done.stdout == f"{posted}  cancelled\n"
        assert done.stderr.startswith(f"{'0' * 32}: Job not found: ")
        done = jobs("retry", posted)
        assert done.returncode == 1
        assert "Job conflict: " in done.stderr
        assert {job.id for job in server.jobs()} - jobs_there == {posted}
    finally:
        server.works = True


def test_a_failed_job_is_run_again_and_its_result_fetched(server, jobs, tmp_path):
    """As if it never had failed."""
    (turn,) = [model for model in server._models if model.name == "turn"]
    turn.error = ValueError("once")
    job_id = server.post("turn", picture())
    assert jobs("fetch", job_id, "--out", tmp_path).returncode == 1
    turn.error = None
    done = jobs("retry", job_id)
    assert (done.returncode, done.stdout) == (0, f"{job_id}  accepted\n")
    assert jobs("fetch", job_id, "--out", tmp_path).returncode == 0
    assert names(tmp_path) == [f"{job_id}.png"]
    assert size_of(tmp_path / f"{job_id}.png") == (32, 32)


@pytest.mark.parametrize("job_id", ["nope", "../models", "", "é"])
def test_an_id_that_is_none_is_said_in_a_line(jobs, job_id):
    """And asks for nothing else by mistake."""
    done = jobs("show", job_id)
    assert done.returncode == 1
    assert "Job not found" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_job_that_is_none_fails_a_fetch_and_costs_no_other(server, jobs, tmp_path):
    """Its line says so."""
    job_id = server.post("shade", picture())
    done = jobs("fetch", "0" * 32, job_id, "--out", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{'0' * 32}: Job not found: ")
    assert names(tmp_path) == [f"{job_id}.json"]
