"""Counted labels: never more than fifty names over all workers, and the same ones for all."""

import fcntl
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest

from drills.waiting import wait_until
from project.observability.labels import MAX_LABELS, OTHER, CountedLabels

ROOT = Path(__file__).parents[2]
WORKER = """
import json, sys
from pathlib import Path
from project.observability.labels import CountedLabels
counted = CountedLabels("shade", Path(sys.argv[1]))
labels = [f"label {number}" for number in range(*map(int, sys.argv[2:]))]
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([[counted.count_as(label) for label in labels] for _ in range(2)]))
"""


def worker(folder: Path, first: int, end: int, step: int) -> subprocess.Popen[str]:
    """A process that will count these labels twice over when it is told to."""
    command = [sys.executable, "-c", WORKER, str(folder), str(first), str(end), str(step)]
    running = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout.readline() == "ready\n"
    return running


def outcome(running: subprocess.Popen[str]) -> list[list[str]]:
    printed, _ = running.communicate()
    assert running.returncode == 0
    return json.loads(printed)


@pytest.mark.parametrize("shared", [True, False])
def test_the_first_fifty_have_names_and_the_rest_are_other(tmp_path, shared):
    """What this deployment sees first is what it sees most."""
    counted = CountedLabels("shade", tmp_path if shared else None)
    labels = [f"label {number}" for number in range(MAX_LABELS + 10)]
    expected = labels[:MAX_LABELS] + [OTHER] * 10
    assert [counted.count_as(label) for label in labels] == expected
    assert [counted.count_as(label) for label in labels] == expected


def test_workers_never_count_more_than_fifty_together(tmp_path):
    """Fifty for each of eight workers would be four hundred series."""
    workers = [worker(tmp_path, first, 120, 4) for first in range(4)]
    for running in workers:
        running.stdin.write("go\n")
        running.stdin.flush()
    rounds = [outcome(running) for running in workers]
    assert all(first == second for first, second in rounds)
    names = {label for first, _ in rounds for label in first} - {OTHER}
    assert len(names) == MAX_LABELS
    assert set((tmp_path / "shade.labels").read_text().splitlines()) == names
    late = CountedLabels("shade", tmp_path)
    assert {late.count_as(f"label {number}") for number in range(120)} == names | {OTHER}


def test_a_worker_waits_while_another_one_adds_a_name(tmp_path):
    """Reading and adding are one step; between the two nobody else may take the last place."""
    with (tmp_path / "shade.labels").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        running = worker(tmp_path, 100, 103, 1)
        running.stdin.write("go\n")
        running.stdin.flush()
        wait_until(
            lambda: waits_for_a_lock(running.pid) or running.poll() is not None,
            "the worker asks for the lock",
        )
        file.write("".join(f"label {number}\n" for number in range(MAX_LABELS)))
    assert outcome(running) == [[OTHER] * 3] * 2


def waits_for_a_lock(pid: int) -> bool:
    """Whether the kernel lists the process among those that wait, which `->` marks."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and str(pid) in line.split() for line in lines)


def test_a_successor_goes_on_with_the_same_names(tmp_path):
    """Else a series would end with its worker and another begin."""
    first = CountedLabels("shade", tmp_path)
    for number in range(MAX_LABELS):
        first.count_as(f"label {number}")
    second = CountedLabels("shade", tmp_path)
    assert second.count_as("new") == OTHER
    assert second.count_as("label 49") == "label 49"


def test_each_model_has_its_own_fifty(tmp_path):
    """One model's labels take nothing from another's."""
    for model in ("one", "two"):
        counted = CountedLabels(model, tmp_path)
        assert [counted.count_as(f"{model} {n}") for n in range(MAX_LABELS)].count(OTHER) == 0


@pytest.mark.parametrize(
    "label", ["a\nb", "a\r", "a\u2028b", "a\x85b", "\x00", "\ud800", "\x1b[0m"]
)
def test_a_label_that_would_break_the_file_or_the_scrape_is_other(tmp_path, label):
    """It takes no place, and the file stays one name a line."""
    counted = CountedLabels("shade", tmp_path)
    assert counted.count_as("good") == "good"
    assert [counted.count_as(label) for _ in range(3)] == [OTHER] * 3
    assert (tmp_path / "shade.labels").read_text() == "good\n"


@given(st.lists(st.text(), max_size=2 * MAX_LABELS))
def test_any_labels_at_all_keep_to_the_limit_and_can_be_scraped(labels):
    """For two workers that see the same labels, in whatever order."""
    with tempfile.TemporaryDirectory() as folder:
        workers = [CountedLabels("shade", Path(folder)) for _ in range(2)]
        answers = [workers[index % 2].count_as(label) for index, label in enumerate(labels)]
        assert all(answer in {label, OTHER} for label, answer in zip(labels, answers, strict=True))
        assert len(set(answers) - {OTHER}) <= MAX_LABELS
        for counted in workers:
            assert [counted.count_as(label) for label in labels] == answers
    registry = CollectorRegistry()
    counter = Counter("seen_total", "Seen.", ["label"], registry=registry)
    for answer in answers:
        counter.labels(answer).inc()
    assert generate_latest(registry)
