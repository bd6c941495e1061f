"""Drift in one process and in several: counted by each, told by whoever is asked."""

from types import SimpleNamespace

import pytest
from loguru import logger
from PIL import Image

from project.inference.drift.baseline import path_of
from project.inference.drift.build import build_baseline
from project.inference.drift.features import features_of, measure_image
from project.inference.drift.monitor import DriftMonitor
from project.observability import multiprocess
from tests.unit.test_baseline import MODEL, predictions

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


def worker(monkeypatch, slot, directory, folder, clock, version="1"):
    """The drift of a worker in that slot."""
    monkeypatch.setattr(multiprocess, "_identity", slot)
    drift = DriftMonitor(directory, folder, 3600, lambda: clock.now)
    drift.begin(MODEL, version)
    return drift


def told(drift):
    """Metric → feature → value."""
    return {
        family.name: {sample.labels.get("feature"): sample.value for sample in family.samples}
        for family in drift.collect()
    }


def test_all_workers_count_and_any_of_them_tells(monkeypatch, directory, folder, clock):
    """Half of the pictures went dark, whoever is asked."""
    workers = [worker(monkeypatch, slot, directory, folder, clock) for slot in "01"]
    for features in predictions(300, seed=2):
        workers[0].count(MODEL, features)
    for features in predictions(300, seed=3, brightness=10):
        workers[1].count(MODEL, features)
    first, second = map(told, workers)
    assert first == second
    assert first["drift_window_samples"] == {None: 600}
    drifted = {name for name, value in first["drift_psi"].items() if value > 0.25}
    assert drifted == {"brightness"}
    assert set(first["drift_psi"]) == {"brightness", "contrast", "pixels", "label", "confidence"}
    asker = DriftMonitor(directory, folder, 3600, lambda: clock.now)  # one that predicts nothing
    asker.watch(MODEL)
    assert told(asker) == first


def test_a_successor_goes_on_in_the_slot(monkeypatch, directory, folder, clock):
    """A worker that is replaced takes nothing with it."""
    worker(monkeypatch, "0", directory, folder, clock).count(MODEL, predictions(1)[0])
    successor = worker(monkeypatch, "0", directory, folder, clock)
    successor.count(MODEL, predictions(1)[0])
    assert told(successor)["drift_window_samples"] == {None: 2}


def test_before_anything_is_predicted_there_is_no_psi(monkeypatch, directory, folder, clock):
    """And none when the window has passed; that it has no samples is said."""
    drift = worker(monkeypatch, "0", directory, folder, clock)
    empty = {"drift_psi": {}, "drift_window_samples": {None: 0}}
    assert told(drift) == empty
    drift.count(MODEL, predictions(1)[0])
    assert told(drift)["drift_psi"]
    clock.now += 3601
    assert told(drift) == empty


def test_one_process_alone_needs_no_files(folder, clock):
    """As without PROMETHEUS_MULTIPROC_DIR."""
    drift = DriftMonitor(None, folder, 3600, lambda: clock.now)
    drift.begin(MODEL, "1")
    drift.count(MODEL, predictions(1)[0])
    assert told(drift)["drift_window_samples"] == {None: 1}


@pytest.mark.parametrize("damage", ["damaged", "version", "disk"])
def test_what_cannot_be_compared_is_said_once_and_costs_no_prediction(
    monkeypatch, directory, folder, clock, damage, caught
):
    """A warning at the start, no drift, and counting goes nowhere."""
    if damage == "damaged":
        path_of(MODEL, folder).write_text("{")
    if damage == "disk":
        (directory / f"{MODEL}.0.drift").mkdir()
    drift = worker(monkeypatch, "0", directory, folder, clock, "2" if damage == "version" else "1")
    drift.count(MODEL, predictions(1)[0])
    drift.count("another", predictions(1)[0])
    (line,) = [record for record in caught if record["message"] == "drift_not_measured"]
    assert line["extra"]["model"] == MODEL
    assert line["extra"]["reason"]


def test_a_model_without_a_baseline_has_no_series(directory, tmp_path):
    """And nothing is said of it."""
    drift = DriftMonitor(directory, tmp_path, 3600)
    drift.begin(MODEL, "1")
    drift.count(MODEL, predictions(1)[0])
    assert told(drift) == {"drift_psi": {}, "drift_window_samples": {}}
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("size", [(8, 8), (1, 500), (4000, 10), (3000, 2000)])
def test_a_picture_is_measured_whatever_its_size(size):
    """A plain one has its colour's luma and no contrast."""
    look = measure_image(Image.new("RGB", size, (255, 0, 0)), (9, 7))
    assert (look.brightness, look.contrast, look.pixels) == (76, 0, 63)


def test_contrast_is_the_spread_of_luma():
    """Half black, half white."""
    image = Image.new("RGB", (100, 100), "white")
    image.paste("black", (0, 0, 50, 100))
    look = measure_image(image, image.size)
    assert (look.brightness, look.contrast) == (pytest.approx(127.5), pytest.approx(127.5))
    assert features_of(look, None).keys() == {"brightness", "contrast", "pixels"}
    assert features_of(look, ("cat", 0.5))["label"] == "cat"
