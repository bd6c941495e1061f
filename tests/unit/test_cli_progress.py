"""What is shown while jobs go on, and when somebody stops watching; how soon --help is there."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from project.cli import job_format, progress, submit
from project.cli.inputs import Item

ROOT = Path(__file__).parents[2]


def item(label, **job):
    return Item(label, label, job={"id": f"id-of-{label}", "status": "accepted"} | job)


def test_without_a_terminal_each_change_is_a_line_once(capsys):
    """Progress alone is none; the result is said with its place."""
    with progress.Lines() as lines:
        each = item("a.png")
        for share in (0.1, 0.2, 0.3):
            each.job |= {"status": "running", "progress": share}
            lines.show(each)
        each.job |= {"status": "succeeded"}
        lines.show(each)
        each.saved = Path("out/a.png")
        lines.show(each)
        lines.show_retry("no answer")
        lines.show_retry("no answer")
    out, errors = capsys.readouterr()
    assert out.splitlines() == [
        "a.png  running  id-of-a.png",
        "a.png  succeeded  out/a.png  id-of-a.png",
    ]
    assert errors == "no answer; retrying\n"


def test_names_of_files_cannot_move_the_cursor(capsys):
    """Nor what a server says."""
    lines = progress.Lines()
    lines.show(item("a\x1b[2J\n\udcff.png", id="x\x9bm"))
    assert capsys.readouterr().out == "a\\x1b[2J\\x0a?.png  accepted  x\\u009bm\n"


BARS = """
import sys
from pathlib import Path
from project.cli.progress import display
from project.cli.inputs import Item
items = [Item(f"[red]{n}.png", "x", job={"id": "i", "status": "accepted"}) for n in range(100)]
with display(len(items)) as bars:
    for item in items:
        bars.show(item)
    for item in items:
        item.job |= {"status": "running", "progress": 0.5}
        bars.show(item)
    bars.show_retry("no answer\\x1b[31m"[:9])
    for item in items:
        item.saved = Path("out.png")
        bars.show(item)
"""


def on_terminal(script: str) -> str:
    """What a script writes on a terminal, without its control sequences."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=theirs,
        stderr=theirs,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    ) as process:
        os.close(theirs)
        said = b""
        while piece := _read(ours):
            said += piece
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    assert process.returncode == 0, text
    return text


def test_on_a_terminal_each_job_has_a_bar_and_leaves_a_line():
    """However many there are; markup in a name is a name."""
    text = on_terminal(BARS)
    for number in range(100):
        assert f"✓ [red]{number}.png  succeeded  out.png  i" in text
    assert "no answer; retrying" in text


BAR = """
from project.cli.inputs import Item
from project.cli.progress import Bar
for count in (1, 2):
    with Bar("[red]model", count) as bar:
        for number in range(count):
            item = Item("x", "x")
            with bar.item(item):
                bar.show(item, 0.5)
                bar._progress.refresh()
        bar._progress.refresh()
"""


def test_on_a_terminal_predictions_share_a_bar():
    """A single one shows its share, several their count; the bar is gone at the end."""
    text = on_terminal(BAR)
    for state in ("loading", "50%", "100%", "0/2", "1/2", "2/2"):
        assert re.search(rf"\[red\]model .* {state}\s", text), state


def test_without_a_terminal_there_is_no_bar(capsys):
    """Only why a request is retried, once."""
    with progress.Bar("model", 2) as bar, bar.item(item("a")):
        bar.show_retry("no answer")
        bar.show_retry("no answer")
    assert capsys.readouterr() == ("", "no answer; retrying\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux says so where the other end is closed
        return b""


def test_who_stops_learns_of_every_job_what_became_of_it():
    """Those that go on, that may have been sent, that were not; not those that are over."""
    over, failed = item("over"), item("failed")
    over.saved, failed.failure = Path("x"), "it broke"
    lines = submit.resume_advice(
        [over, failed, item("a"), item("b"), Item("c", "c", sending=True), Item("d", "d")],
        "http://x",
    )
    assert "  python -m project jobs fetch id-of-a id-of-b --out DIR --url http://x" in lines
    assert "  python -m project jobs cancel id-of-a id-of-b --url http://x" in lines
    assert lines[-2:] == ["May have been sent: c; see `jobs list`.", "Not sent: d."]
    assert submit.resume_advice([over, failed], "http://x") == ["Stopped."]


def test_a_job_is_shown_whatever_of_it_is_there():
    """Another release may leave things out."""
    assert list(job_format.details({"id": "a", "status": "failed"}))[:2] == [
        "id          a",
        "status      failed, 0% done, runs: None",
    ]
    job = {
        "id": "a",
        "status": "running",
        "cancel_requested": True,
        "progress": 7,
        "created_at": "2026-11-22T14:00:00.000Z",
        "started_at": "2026-11-22T14:00:01.500Z",
        "finished_at": "soon",
        "params": {"prompt": "a\x1b[2J", "none": None, "ratio": 0.5},
        "problem": {"title": "Model failed", "detail": "it broke"},
    }
    lines = dict(line.split(None, 1) for line in job_format.details(job))
    assert lines["status"] == "running, to be cancelled, 100% done, runs: None"
    assert lines["started"].endswith(", 1.5 s later")
    assert lines["finished"] == "soon"
    assert lines["parameters"] == "prompt=a\\x1b[2J  none=null  ratio=0.5"
    assert lines["problem"] == "Model failed: it broke"
    assert len(list(job_format.table([job, {}]))) == 3


@pytest.mark.parametrize("words", [["--help"], ["jobs", "--help"], ["trace", "--help"]])
def test_help_waits_for_nothing_that_is_slow_to_import(words):
    """Torch takes seconds, the others a noticeable while."""
    slow = ["torch", "numpy", "httpx2", "rich.progress", "openvino", "cv2", "sqlalchemy.ext"]
    script = (
        "import json, sys\nfrom project.cli import app\n"
        "try:\n    app(sys.argv[2:])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))\n"
    )
    command = [sys.executable, "-c", script, json.dumps(slow), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
