"""The README, followed to the letter in a copy of the tree: its model, its commands, its answer."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from drills.job_workers import run_job_workers
from drills.server import ROOT, Server
from tests.photos import photo
from tests.services.server import serve
from tests.services.stack import standing

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if line]
CURLS = [line for line in COMMANDS if "curl" in line]
PYTHON = [line for line in COMMANDS if "-m project" in line and "jobs" not in line]
JOBS = [line for line in COMMANDS if "-m project jobs" in line]
LONG = "background_removal,style_transfer,text_to_image"
MAKES = [line for line in COMMANDS if re.search(r"\bmake\b", line)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as git has it, with the README's model added and a photo beside it."""
    folder = tmp_path_factory.mktemp("readme") / "vitrine"
    listed = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (source,) = [text for kind, text in BLOCKS if kind == "python"]
    (folder / "project" / "models" / "sharpness.py").write_text(source)
    (folder / "photos").mkdir()
    for target in (folder, folder / "photos"):
        shutil.copy(photo("chelsea"), target / "chelsea.png")
    shutil.copy(photo("coffee"), folder / "painting.png")
    return folder


@pytest.fixture(scope="module")
def server(copy: Path) -> Iterator[Server]:
    with (
        standing("embedded", copy.parent) as stack,
        serve(
            copy.parent,
            root=copy,
            app=None,
            **stack.variables | {"MODELS": f"classification,sharpness,{LONG}"},
        ) as server,
        run_job_workers(copy.parent, **stack.variables | {"MODELS": LONG}),
    ):
        yield server


@pytest.mark.parametrize("command", CURLS)
def test_a_curl_command_of_the_readme_works(command, server, copy):
    """Each is run by a shell, as a reader would."""
    command = command.replace("localhost:8000", f"localhost:{server.port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace("curl ", "curl -sS --fail-with-body ")],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout[done.stdout.index("{") :])  # behind the head that -i shows


@pytest.mark.parametrize("command", JOBS)
def test_a_job_of_the_readme_runs_and_its_results_are_there(command, server, copy):
    """The three pictures of the first ten minutes among them."""
    before = set(copy.glob("results/*"))
    done = subprocess.run(
        [*shlex.split(command), "--url", server.url],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = set(copy.glob("results/*")) - before
    assert len(made) == ("submit" in command)
    for path in made:
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 2  # not one colour


def test_the_answer_that_the_readme_shows_is_the_one_that_comes(server, copy):
    """Same classes in the same order; the last digits differ from processor to processor."""
    (shown,) = [json.loads(text) for kind, text in BLOCKS if kind == "json"]
    answer = httpx2.post(
        f"{server.url}/v1/models/classification/predictions?top_k=3",
        content=(copy / "chelsea.png").read_bytes(),
        headers={"content-type": "image/png"},
    ).json()
    assert [item["label"] for item in answer["classes"]] == [
        item["label"] for item in shown["classes"]
    ]
    for given, expected in zip(answer["classes"], shown["classes"], strict=True):
        assert given["probability"] == pytest.approx(expected["probability"], abs=0.02)


@pytest.mark.parametrize("command", PYTHON)
def test_a_command_line_of_the_readme_works(command, copy):
    """Same files, same folder."""
    done = subprocess.run(command.split(), cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tiger cat" in done.stdout


@pytest.mark.parametrize("command", MAKES)
def test_a_make_command_of_the_readme_names_a_target(command):
    """The targets themselves are what runs these tests and this server."""
    target = re.search(r"\bmake (\w+)", command)
    assert target
    done = subprocess.run(["make", "-n", target[1]], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0


def test_every_path_that_the_readme_names_is_there():
    """Links to files, and the routes of its table."""
    for name in re.findall(r"\]\(([^)#]+)\)", README):
        assert name.startswith("http") or (ROOT / name).exists(), name


def test_the_added_model_is_everywhere_that_the_readme_says(server):
    """On the routes, in the schemas and in the metrics."""
    names = [model["name"] for model in httpx2.get(f"{server.url}/v1/models").json()["models"]]
    assert names == ["classification", "sharpness", *LONG.split(",")]
    paths = httpx2.get(f"{server.url}/openapi.json").json()["paths"]
    assert "/v1/models/sharpness/predictions" in paths
    metrics = server.metrics()
    assert metrics.value("model_loaded", model="sharpness") == 1
    assert (
        "inference_requests_total",
        (("model", "sharpness"), ("outcome", "overload")),
    ) in metrics.series
