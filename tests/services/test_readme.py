"""The README and the page on models, followed to the letter in a copy of the tree."""

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
from tests.conftest import picture
from tests.photos import photo
from tests.services.server import serve
from tests.services.stack import standing

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README)


def commands_of(text: str) -> list[str]:
    """Every line of a shell."""
    blocks = [block for kind, block in BLOCK.findall(text) if kind == "bash"]
    return [line for block in blocks for line in block.splitlines() if line]


COMMANDS = commands_of(README)
NEW = [line for line in commands_of(GUIDE) if "project new" in line]
GUIDED = [line for line in commands_of(GUIDE) if line not in NEW]
CURLS = [line for line in COMMANDS if "curl" in line]
PYTHON = [line for line in COMMANDS if "-m project" in line and "jobs" not in line]
JOBS = [line for line in COMMANDS if "-m project jobs" in line]
SHIPPED = (
    "classification",
    "detection",
    "keypoints",
    "background_removal",
    "style_transfer",
    "spam",
    "text_to_image",
)
SOURCES = {text[3:].partition(":")[0]: text for kind, text in BLOCKS if kind == "python"}
# A busy machine takes its time.
SLOW_MACHINE = {
    "PREDICTION_DEADLINE_SECONDS": 60,
    "GRACEFUL_TIMEOUT_SECONDS": 70,
    "WORKER_TIMEOUT_SECONDS": 80,
}
MAKES = [line for line in COMMANDS if re.search(r"\bmake\b", line)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as git has it, with the README's models added, and the files that it names."""
    folder = tmp_path_factory.mktemp("readme") / "vitrine"
    listed = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for name, source in SOURCES.items():
        (folder / "project" / "models" / f"{name}.py").write_text(source)
    for name in ("photos", "labelled/sharp", "labelled/blurred"):
        (folder / name).mkdir(parents=True)
    for target in (folder, folder / "photos", folder / "labelled" / "sharp"):
        shutil.copy(photo("chelsea"), target / "chelsea.png")
    with Image.open(photo("chelsea")) as cat:
        cat.resize((20, 20)).resize(cat.size).save(folder / "labelled" / "blurred" / "cat.png")
    shutil.copy(photo("coffee"), folder / "painting.png")
    shutil.copy(photo("astronaut"), folder / "astronaut.png")
    (folder / "mail.txt").write_text("WHO ATE MY CAKE?")
    for command in NEW:
        subprocess.run(shlex.split(command, comments=True), cwd=folder, check=True)
    for name in ("colours/red", "colours/green", "folder"):
        (folder / name).mkdir(parents=True)
    for name in ("photo.jpg", "a.jpg", "b.jpg", "folder/photo.jpg", "colours/red/1.jpg"):
        (folder / name).write_bytes(picture("JPEG", colour="red"))
    (folder / "colours" / "green" / "2.jpg").write_bytes(picture("JPEG", colour="green"))
    (folder / "colours.csv").write_text("path,label\ncolours/red/1.jpg,red\n")
    (folder / "messages.csv").write_text("text,label\nThank you!,friendly\n")
    (folder / "mails.csv").write_text("text,label\nHELLO,shouting\nhello,calm\n")
    return folder


@pytest.fixture(scope="module")
def server(copy: Path) -> Iterator[Server]:
    with (
        standing("embedded", copy.parent) as stack,
        serve(
            copy.parent,
            root=copy,
            app=None,
            MODELS=",".join([*SHIPPED, *SOURCES, "my_model"]),
            WEB_CONCURRENCY=1,
            **SLOW_MACHINE,
            **stack.variables,
        ) as server,
        run_job_workers(
            copy.parent, MODELS=",".join(SHIPPED), WORKER_PROCESSES=1, **stack.variables
        ),
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
    if saved := re.search(r"-o (\S+)", command):
        assert_is_photo(copy / saved[1])
    else:
        assert json.loads(done.stdout[done.stdout.index("{") :])  # behind the head that -i shows


def assert_is_photo(path: Path) -> None:
    """Whether it is a picture of more than a colour or two."""
    with Image.open(path) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 2


@pytest.mark.parametrize("command", JOBS)
def test_a_job_of_the_readme_runs_and_its_results_are_there(command, server, copy):
    """The pictures of the first ten minutes among them."""
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
        assert_is_photo(path)


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
def test_a_command_line_of_the_readme_works(command, server, copy):
    """Same files, same folder; a picture is where the command wants it."""
    command = command.replace("localhost:8000", f"localhost:{server.port}")
    done = subprocess.run(
        shlex.split(command), cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    if "predict classification" in command:
        assert "tiger cat" in done.stdout
    saved = re.search(r"--out (\S+)", command)
    if saved and saved[1].endswith(".html"):
        assert "<h1>" in (copy / saved[1]).read_text()
    elif saved:
        assert_is_photo(copy / saved[1])


@pytest.mark.parametrize("command", GUIDED)
def test_a_command_of_the_page_on_models_works(command, server, copy):
    """With the models that its first commands have written."""
    assert len(NEW) == 3
    command = command.replace("localhost:8000", f"localhost:{server.port}")
    words = shlex.split(command, comments=True)
    done = subprocess.run(words, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    if "evaluate" in command:
        assert "accuracy 1.000" in done.stdout or json.loads(done.stdout)["accuracy"] == 1


@pytest.mark.parametrize("name", SOURCES)
def test_a_model_of_the_readme_is_formatted_and_free_of_faults(name, copy):
    """As `make check` demands of every file."""
    path = f"project/models/{name}.py"
    for words in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [".venv/bin/ruff", *words, path], cwd=copy, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", MAKES)
def test_a_make_command_of_the_readme_names_a_target(command):
    """The targets themselves are what runs these tests and this server."""
    target = re.search(r"\bmake (\w+)", command)
    assert target
    done = subprocess.run(["make", "-n", target[1]], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0


def test_every_path_that_the_readme_names_is_there():
    """Links to files, of both pages."""
    for text, folder in ((README, ROOT), (GUIDE, ROOT / "docs")):
        for name in re.findall(r"\]\(([^)#]+)", text):
            assert name.startswith("http") or (folder / name).exists(), name


@pytest.mark.parametrize("name", SOURCES)
def test_an_added_model_is_everywhere_that_the_readme_says(name, server, copy):
    """On the page's list, in the schemas, on the command line and in the metrics."""
    assert set(SOURCES) == {"sharpness", "shouting", "crossfade"}
    names = [model["name"] for model in httpx2.get(f"{server.url}/v1/models").json()["models"]]
    assert names == [*SHIPPED, *SOURCES, "my_model"]
    paths = httpx2.get(f"{server.url}/openapi.json").json()["paths"]
    assert f"/v1/models/{name}/predictions" in paths
    listed = subprocess.run(
        [".venv/bin/python", "-m", "project", "models"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=True,
    )
    assert name in listed.stdout
    metrics = server.metrics()
    assert metrics.value("model_loaded", model=name) > 0
    assert (
        "inference_requests_total",
        (("model", name), ("outcome", "overload")),
    ) in metrics.series
