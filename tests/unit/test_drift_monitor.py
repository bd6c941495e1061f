"""The drift monitor: each process counts, and any of them reports the sum."""

from types import SimpleNamespace

import pytest
from loguru import logger

from project.inference.drift.baseline import path_of
from project.inference.drift.build import build_baseline
from project.inference.drift.monitor import DriftMonitor
from tests.drift_samples import MODEL, predictions

USUAL = build_baseline(MODEL, "1", predictions())


@pytest.fixture
def folder(tmp_path):
    """Where the baseline is."""
    path_of(MODEL, tmp_path).write_text(USUAL.model_dump_json())
    return tmp_path


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def directory(tmp_path):
    """What the workers share."""
    shared = tmp_path / "metrics"
    shared.mkdir()
    return shared


@pytest.fixture
def caught():
    """What is logged meanwhile."""
    records = []
    sink = logger.add(lambda message: records.append(message.record))
    yield records
    logger.remove(sink)


def worker(slot, directory, folder, clock, version="1"):
    """The drift of a worker in that slot."""
    drift = DriftMonitor(directory, folder, 3600, lambda: clock.now, identity=lambda: slot)
    drift.start_counting(MODEL, version)
    return drift


def collected(drift):
    """Metric → feature → value."""
    return {
        family.name: {sample.labels.get("feature"): sample.value for sample in family.samples}
        for family in drift.collect()
    }


def test_all_workers_count_and_any_of_them_reports_the_sum(directory, folder, clock):
    """Half of the pictures went dark, whichever worker is scraped."""
    workers = [worker(slot, directory, folder, clock) for slot in "01"]
    for features in predictions(300, seed=2):
        workers[0].count(MODEL, features)
    for features in predictions(300, seed=3, brightness=10):
        workers[1].count(MODEL, features)
    first, second = map(collected, workers)
    assert first == second
    assert first["drift_window_samples"] == {None: 600}
    drifted = {name for name, value in first["drift_psi"].items() if value > 0.25}
    assert drifted == {"brightness"}
    assert set(first["drift_psi"]) == {"brightness", "contrast", "pixels", "label", "confidence"}
    scraped = DriftMonitor(directory, folder, 3600, lambda: clock.now)  # one that predicts nothing
    scraped.watch(MODEL)
    assert collected(scraped) == first


def test_a_successor_continues_the_counts_of_its_slot(directory, folder, clock):
    """A worker that is replaced takes nothing with it."""
    worker("0", directory, folder, clock).count(MODEL, predictions(1)[0])
    successor = worker("0", directory, folder, clock)
    successor.count(MODEL, predictions(1)[0])
    assert collected(successor)["drift_window_samples"] == {None: 2}


def test_before_anything_is_predicted_there_is_no_psi(directory, folder, clock):
    """And none when the window has passed; the number of samples is 0."""
    drift = worker("0", directory, folder, clock)
    empty = {"drift_psi": {}, "drift_window_samples": {None: 0}}
    assert collected(drift) == empty
    drift.count(MODEL, predictions(1)[0])
    assert collected(drift)["drift_psi"]
    clock.now += 3601
    assert collected(drift) == empty


def test_one_process_alone_needs_no_files(folder, clock):
    """As without PROMETHEUS_MULTIPROC_DIR."""
    drift = DriftMonitor(None, folder, 3600, lambda: clock.now)
    drift.start_counting(MODEL, "1")
    drift.count(MODEL, predictions(1)[0])
    assert collected(drift)["drift_window_samples"] == {None: 1}


@pytest.mark.parametrize("damage", ["damaged", "version", "disk"])
def test_a_baseline_that_cannot_be_used_is_logged_once_and_costs_no_prediction(
    directory, folder, clock, damage, caught
):
    """A warning at the start, no drift, and counting goes nowhere."""
    if damage == "damaged":
        path_of(MODEL, folder).write_text("{")
    if damage == "disk":
        (directory / f"{MODEL}.0.drift").mkdir()
    drift = worker("0", directory, folder, clock, "2" if damage == "version" else "1")
    drift.count(MODEL, predictions(1)[0])
    drift.count("another", predictions(1)[0])
    (line,) = [record for record in caught if record["message"] == "drift_not_measured"]
    assert line["extra"]["model"] == MODEL
    assert line["extra"]["reason"]


def test_a_model_without_a_baseline_has_no_series(directory, tmp_path):
    """And no file, and nothing in the log."""
    drift = DriftMonitor(directory, tmp_path, 3600)
    drift.start_counting(MODEL, "1")
    drift.count(MODEL, predictions(1)[0])
    assert collected(drift) == {"drift_psi": {}, "drift_window_samples": {}}
    assert list(directory.iterdir()) == []
