"""The log on disk is rotated by the real logrotate, while the product's own code writes it."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from drills.waiting import wait_until
from project.observability.log_file import rotated
from tests.deploy.vm_files import VM, env_file
from tests.ops.tools import ROOT, need

WRITERS = 2
ROTATIONS = 3
WRITE = """
import itertools, json, pathlib, sys
from project.observability.log_file import append
path, over = map(pathlib.Path, sys.argv[1:3])
for number in itertools.count():
    append(path, json.dumps({"writer": sys.argv[3], "number": number, "padding": "x" * 400}))
    if over.exists():
        break
print(number)
"""


@pytest.fixture
def log(tmp_path) -> Path:
    (tmp_path / "log").mkdir(mode=0o750)
    return tmp_path / "log" / Path(env_file("vitrine.env")["LOG_FILE"]).name


def rotate(log: Path, *options: str, complaint: str = "") -> None:
    """One turn of logrotate, with the shipped file but for the folder and the user.

    complaint: an error that may be met, and is nothing but a turn that did not take place.
    """
    text = (VM / "etc/logrotate.conf").read_text()
    shipped = str(Path(env_file("vitrine.env")["LOG_FILE"]).parent)
    assert shipped in text
    config = log.parent.parent / "logrotate.conf"
    config.write_text(text.replace(shipped, str(log.parent)).replace("  su vitrine vitrine\n", ""))
    config.chmod(0o644)
    command = [need("logrotate"), *options, "--state", str(config.with_suffix(".state"))]
    done = subprocess.run([*command, str(config)], capture_output=True, text=True, check=False)
    if not (complaint and complaint in done.stderr):
        assert (done.returncode, done.stderr) == (0, "")


def lines(log: Path) -> Iterator[str]:
    """All that was written, wherever it is by now."""
    for path in log.parent.iterdir():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        yield from data.decode().splitlines()


def test_no_line_is_lost_or_torn_while_it_is_rotated(log, tmp_path):
    """Two processes write without a pause; each of their lines is there once, and whole."""
    over = tmp_path / "over"
    with ExitStack() as stack:
        writers = []
        for name in range(WRITERS):
            command = [sys.executable, "-c", WRITE, str(log), str(over), str(name)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
            writers.append(stack.enter_context(process))
            stack.callback(process.terminate)
        for turn in range(1, ROTATIONS + 1):
            wait_until(lambda: log.exists() and log.stat().st_size > 100_000, "there is some log")

            def rotated(turn: int = turn) -> bool:
                rotate(log, "--force", complaint="already exists")  # in the same second
                return len(list(log.parent.iterdir())) > turn

            wait_until(rotated, "another file was begun")
        over.touch()
        counts = [int(process.communicate(timeout=30)[0]) + 1 for process in writers]
    found = [json.loads(line) for line in lines(log)]
    assert sorted((line["writer"], line["number"]) for line in found) == [
        (str(name), number) for name in range(WRITERS) for number in range(counts[name])
    ]
    kept = sorted(path.name for path in log.parent.iterdir())
    assert sum(name.endswith(".gz") for name in kept) >= ROTATIONS - 1


def test_the_file_that_is_made_again_is_the_products(log):
    """Nobody else makes one, so its mode and owner are those that the product chooses."""
    log.write_text("{}\n")
    rotate(log, "--force")
    assert not log.exists()


def test_what_the_program_put_aside_is_kept(log):
    """At its next start it would replace it; and with no --force, as every hour."""
    aside = rotated(log)
    aside.write_text('{"kept": true}\n')
    rotate(log)
    assert not aside.exists()
    assert list(lines(log)) == ['{"kept": true}']
    rotate(log, "--force")
    assert list(lines(log)) == ['{"kept": true}']


def test_a_day_of_much_traffic_is_rotated_within_the_hour(log):
    """By size, before the day is over; a smaller file waits."""
    log.write_text("{}\n")
    rotate(log)  # the first turn only notes the day
    assert log.exists()
    with log.open("r+b") as file:
        file.truncate(201 * 2**20)
    rotate(log)
    assert not log.exists()
    assert "OnCalendar=hourly" in (VM / "etc/logrotate-hourly.conf").read_text()
