"""`new` in a copy of the tree: each kind of model works as it stands, and so does its test."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drills.server import ROOT
from drills.source_tree import UNFINISHED
from tests.conftest import picture
from tests.services.server import serve

KINDS = ("classification", "text", "steps")
LONG = "a_name_of_forty_characters_and_no_longer"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The tree with a model of each kind; the longest name is the worst for the line length."""
    folder = tmp_path_factory.mktemp("new") / "vitrine"
    shutil.copytree(ROOT / "project", folder / "project", ignore=UNFINISHED)
    for name in ("tests", "drills", "docs"):
        (folder / name).mkdir()
    for name in ("pyproject.toml", "prestart.sh", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("__init__", "conftest", "fakes"):
        shutil.copy(ROOT / "tests" / f"{name}.py", folder / "tests")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for name, size in (("a", (40, 30)), ("b", (30, 40))):
        (folder / f"{name}.png").write_bytes(picture(size=size, colour="red"))
    return folder


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tree,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def written(tree) -> dict[str, list[str]]:
    """Kind → what `new` printed for a model of it."""
    printed = {}
    for kind in KINDS:
        done = run(tree, "project", "new", f"my_{kind}", "--kind", kind)
        assert done.returncode == 0, done.stderr
        printed[kind] = done.stdout.splitlines()
    assert run(tree, "project", "new", LONG).returncode == 0
    return printed


def test_the_files_are_formatted_and_free_of_faults(tree, written):
    """As `make check` demands of every file; the type checker sees the templates themselves."""
    files = [f"project/models/my_{kind}.py" for kind in KINDS]
    files += [f"tests/models/test_my_{kind}.py" for kind in KINDS]
    files += [f"project/models/{LONG}.py", f"tests/models/test_{LONG}.py"]
    for command in (("format", "--check"), ("check",)):
        done = run(tree, "ruff", *command, *files)
        assert done.returncode == 0, done.stdout


def test_their_tests_pass(tree, written):
    """With the command that `new` prints."""
    commands = [line.split() for lines in written.values() for line in lines if "pytest" in line]
    files = [words[-1] for words in commands]
    assert len(files) == len(KINDS)
    done = run(tree, "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_that_it_prints_predicts(tree, written, kind):
    """With files of those names."""
    (line,) = [line for line in written[kind] if "project predict" in line]
    words = line.replace("photo.jpg", "a.png").replace(".jpg", ".png").replace('"', "").split()
    if kind == "text":
        words[-2:] = [" ".join(words[-2:])]
    done = run(tree, *words[2:], "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert {"classification": "red", "text": "friendly", "steps": "a-my_steps.png"}[kind] in line


def test_all_are_served_at_once(tree, written, tmp_path):
    """With a compiled net, on the page, in the documentation and in the metrics."""
    models = ",".join(f"my_{kind}" for kind in KINDS)
    with serve(tmp_path, root=tree, app=None, MODELS=models, WEB_CONCURRENCY=1) as server:
        done = run(
            tree, "project", "predict", "my_classification", "a.png", "--json", "--url", server.url
        )
        assert json.loads(done.stdout)["result"]["classes"][0]["label"] == "red", done.stderr
        metrics = server.metrics()
        for kind in KINDS:
            assert metrics.value("model_loaded", model=f"my_{kind}") == 1


def test_what_cannot_be_is_said_in_a_line(tree, written):
    """And nothing is written over the model that is there."""
    before = (tree / "project" / "models" / "my_text.py").read_text()
    done = run(tree, "project", "new", "my_text")
    assert done.returncode == 1
    assert done.stderr.startswith("project/models/my_text.py is there already")
    assert (tree / "project" / "models" / "my_text.py").read_text() == before
