"""LOG_FILE: the same lines on disk, from several processes, whatever becomes of the file."""

import fcntl
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from loguru import logger

from drills.server import free_port
from drills.waiting import wait_until
from project.errors import ConfigurationError
from project.observability import log_file
from project.observability.context import traced
from project.observability.logging import configure_logging
from tests.conftest import make_settings
from tests.samples import sample
from tests.unit.test_labels import waits_for_a_lock

ROOT = Path(__file__).parents[2]


def lost():
    """Lines counted as lost so far."""
    return sample("telemetry_dropped_total", signal="logs")


def logged(path, action, **changes):
    """What stdout gets while the action runs."""
    out = io.StringIO()
    with redirect_stdout(out):
        configure_logging(make_settings(log_file=path, **changes))
        action()
    return out.getvalue()


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def grow(path, size):
    path.touch()
    os.truncate(path, size)


def act():
    with traced(None):
        logger.bind(model="shade", name="né\ud800").info("model_loaded")
        logger.opt(exception=ValueError("broken")).error("request_failed")


def test_the_file_has_the_lines_of_stdout(tmp_path):
    """Byte for byte, where stdout is JSON too."""
    path = tmp_path / "log.jsonl"
    out = logged(path, act, log_format="json")
    assert path.read_text() == out
    assert [item["message"] for item in records(path)] == ["model_loaded", "request_failed"]


@pytest.mark.parametrize("style", [{"log_format": "console"}, {"log_cloud": "gcp"}])
def test_the_file_is_json_of_one_kind_whatever_stdout_is(tmp_path, style):
    """What reads it needs to know one form; each line is counted once."""
    before = sample("log_messages_total", level="ERROR")
    path = tmp_path / "log.jsonl"
    out = logged(path, act, **style)
    first, second = records(path)
    assert (first["model"], first["severity"]) == ("shade", "INFO")
    assert "ValueError: broken" in second["exception"]
    assert "model_loaded" in out
    assert sample("log_messages_total", level="ERROR") - before == 1


def test_secrets_are_masked_on_disk_as_well(tmp_path):
    """A file lives longer than a terminal."""
    path = tmp_path / "log.jsonl"
    token = 'marker-"token"-é\\n'
    logged(
        path,
        lambda: logger.bind(a=token, b=[token]).opt(exception=KeyError(token)).error(token),
        metrics_token=token,
        log_format="console",
    )
    assert "marker" not in path.read_text()
    (record,) = records(path)
    assert record["message"] == "***"


def test_a_deleted_folder_is_made_again(tmp_path):
    """Nobody restarts a server because of `rm -r var`."""
    path = tmp_path / "a" / "b" / "log.jsonl"

    def delete_between():
        logger.info("first")
        path.unlink()
        path.parent.rmdir()
        path.parent.parent.rmdir()
        logger.info("second")

    logged(path, delete_between)
    assert [item["message"] for item in records(path)] == ["second"]


def test_a_renamed_file_is_followed_by_a_new_one(tmp_path):
    """So that a server that starts beside a running worker bounds the worker's lines as well."""
    path = tmp_path / "log.jsonl"

    def rename_between():
        logger.info("first")
        path.rename(log_file.rotated(path))
        logger.info("second")

    logged(path, rename_between)
    assert [item["message"] for item in records(path)] == ["second"]
    assert [item["message"] for item in records(log_file.rotated(path))] == ["first"]


def full_disk(folder):
    return Path("/dev/full")


def a_folder(folder):
    return folder


def a_pipe_that_nobody_reads(folder):
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def below_a_file(folder):
    (folder / "file").write_text("")
    return folder / "file" / "log.jsonl"


@pytest.mark.parametrize("where", [full_disk, a_folder, a_pipe_that_nobody_reads, below_a_file])
def test_a_file_that_cannot_be_written_costs_a_count_and_nothing_else(where, tmp_path):
    """Stdout has the line, nothing is raised, and nobody waits."""
    before = lost()
    out = logged(where(tmp_path), lambda: logger.info("event"))
    assert "event" in out
    assert lost() - before == 1


def test_part_of_a_line_is_a_line_lost(tmp_path, monkeypatch):
    """As on a disk that is all but full."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
    before = lost()
    log_file.append(tmp_path / "log.jsonl", "0123456789")
    assert lost() - before == 1


def test_lines_of_several_processes_never_mix(tmp_path):
    """Long ones too: each is one write at the end of the file."""
    path = tmp_path / "log.jsonl"
    script = (
        "import sys\nfrom pathlib import Path\nfrom project.observability import log_file\n"
        "for number in range(200):\n"
        "    log_file.append(Path(sys.argv[1]), sys.argv[2] * 20_000)\n"
    )

    def write(letter):
        command = [sys.executable, "-c", script, str(path), letter]
        subprocess.run(command, cwd=ROOT, check=True)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, "abc"))
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(letter * 20_000 for letter in "abc" for _ in range(200))


@pytest.mark.parametrize(("over", "renamed"), [(0, False), (1, True)])
def test_a_long_file_is_rotated_at_a_start(tmp_path, over, renamed):
    """And replaces the one that was rotated before."""
    path = tmp_path / "log.jsonl"
    grow(path, 10 + over)
    log_file.rotated(path).write_text("old")
    log_file.rotate(path, 10)
    assert path.exists() != renamed  # the next line makes it
    assert (log_file.rotated(path).stat().st_size == 3) != renamed


def test_of_two_that_start_together_one_renames(tmp_path):
    """Else the second would put the file that the first has just begun in place of the old one."""
    path = tmp_path / "log.jsonl"
    grow(path, 11)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: log_file.rotate(path, 10), range(8)))
    assert log_file.rotated(path).stat().st_size == 11


def test_a_server_starts_although_another_has_just_rotated_the_file(tmp_path):
    """It waits for the lock, and then the file no longer has its name."""
    path = tmp_path / "log.jsonl"
    grow(path, 11)
    with path.open("a") as other, ThreadPoolExecutor() as pool:
        fcntl.flock(other, fcntl.LOCK_EX)
        rotating = pool.submit(log_file.rotate, path, 10)
        wait_until(lambda: waits_for_a_lock(os.getpid()), "the second start waits for the lock")
        path.rename(log_file.rotated(path))
        fcntl.flock(other, fcntl.LOCK_UN)
        rotating.result()
    assert log_file.rotated(path).stat().st_size == 11
    assert not path.exists()


@pytest.mark.parametrize("where", [a_folder, below_a_file])
def test_a_wrong_log_file_keeps_a_server_from_starting(where, tmp_path):
    """It would never have a line; a full disk, though, may have room again."""
    with pytest.raises(ConfigurationError, match=r"cannot write the log file .*LOG_FILE"):
        log_file.rotate(where(tmp_path))


def test_preflight_rotates_the_log_file(tmp_path):
    """Preflight runs before any worker does."""
    path = tmp_path / "log" / "vitrine.jsonl"
    path.parent.mkdir()
    grow(path, log_file.MAX_BYTES + 1)
    subprocess.run(
        [sys.executable, "-m", "project.preflight", "api", str(tmp_path / "metrics")],
        cwd=ROOT,
        env={"LOG_FILE": str(path), "PORT": str(free_port()), "JOBS": "off"},
        check=True,
    )
    assert log_file.rotated(path).exists()
