"""Baselines: made from predictions, read from their files, and refused where damaged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project.errors import ConfigurationError
from project.inference.drift.baseline import Baseline, path_of, read_baseline
from project.inference.drift.build import build_baseline
from tests.drift_samples import MODEL, predictions

COUNT = 1000


@pytest.fixture(scope="module")
def usual() -> Baseline:
    return build_baseline(MODEL, "1", predictions())


def compared(baseline, seen):
    row = [0] * baseline.bins
    for features in seen:
        for number in baseline.bins_of(features):
            row[number] += 1
    return baseline.compare(row)


def test_bins_have_about_equal_counts(usual):
    """Deciles, by which no bin is rare."""
    for feature in ("brightness", "contrast", "confidence"):
        assert [count // 10 for count in usual.histograms[feature].counts] == pytest.approx(
            [10] * 10, abs=1
        )


def test_labels_that_are_rare_are_counted_together(usual):
    """Chance alone would make them drift."""
    assert usual.label.names == ("cat", "dog")
    assert usual.label.bin_of("rare") == usual.label.bin_of("never seen") == 2
    assert sum(usual.label.counts) == COUNT


def test_a_value_that_all_have_is_a_bin_of_its_own(usual):
    """A camera that always sends the same size: a larger one is drift, as a smaller one is."""
    assert usual.pixels.counts == (0, COUNT, 0)
    for pixels in (320 * 240, 640 * 480 + 1, 4000 * 3000):
        assert compared(usual, predictions(pixels=pixels))["pixels"] > 1


def test_more_of_the_same_is_no_drift(usual):
    """Other predictions of the same kind."""
    assert all(value < 0.05 for value in compared(usual, predictions(seed=2)).values())


@pytest.mark.parametrize(
    ("feature", "value"),
    [("brightness", 30), ("contrast", 0), ("label", "rare"), ("confidence", 0.2)],
)
def test_what_has_changed_is_seen_in_its_feature_alone(usual, feature, value):
    """The feature shows what happened."""
    drifted = compared(usual, predictions(**{feature: value}))
    assert {name for name, value in drifted.items() if value > 0.25} == {feature}


def test_a_feature_that_a_model_does_not_have_is_not_compared():
    """A model without labels has pictures all the same."""
    seen = [
        {k: v for k, v in one.items() if k in {"brightness", "contrast", "pixels"}}
        for one in predictions()
    ]
    without = build_baseline(MODEL, "1", seen)
    assert set(without.histograms) == {"brightness", "contrast", "pixels"}
    assert set(compared(without, predictions())) == set(without.histograms)
    assert "label" not in compared(build_baseline(MODEL, "1", predictions()), seen)


def test_too_few_pictures_make_no_baseline():
    """The error has the number that is needed."""
    with pytest.raises(ConfigurationError, match=r"99 predictions are too few.*at least 100"):
        build_baseline(MODEL, "1", predictions(99))
    assert build_baseline(MODEL, "1", predictions(100)).samples == 100


numbers = st.floats(0, 1e9, allow_nan=False)
features = st.fixed_dictionaries(
    {"brightness": numbers, "contrast": numbers, "pixels": st.integers(1, 10**9)},
    optional={"label": st.text(max_size=3), "confidence": st.floats(0, 1)},
)


@given(st.lists(features, min_size=1, max_size=12), st.lists(features, max_size=6))
def test_a_baseline_can_be_made_of_any_predictions_and_compared_with_any(few, others):
    """The file holds all of it; every prediction falls into one bin of each of its features."""
    seen = few * (100 // len(few) + 1)
    made = build_baseline(MODEL, "1", seen)
    assert Baseline.model_validate_json(made.model_dump_json()) == made
    assert sum(made.brightness.counts) == made.samples == len(seen)
    for one in [*seen, *others]:
        bins = made.bins_of(one)
        assert len(bins) == len(made.histograms.keys() & one.keys())
        assert all(0 <= number < made.bins for number in bins)
    assert all(value == pytest.approx(0, abs=1e-9) for value in compared(made, seen).values())
    assert all(value >= -1e-12 for value in compared(made, others).values())


def test_the_same_pictures_make_the_same_file(usual):
    """It has no date."""
    assert build_baseline(MODEL, "1", predictions()).model_dump_json() == usual.model_dump_json()
    assert build_baseline(MODEL, "1", predictions()).fingerprint == usual.fingerprint
    assert build_baseline(MODEL, "1", predictions(seed=2)).fingerprint != usual.fingerprint


def test_a_model_without_a_file_has_no_baseline(tmp_path):
    """That is no fault."""
    assert read_baseline(MODEL, tmp_path) is None


def test_a_file_is_read_as_it_was_written(tmp_path, usual):
    """A version is compared only where one is given."""
    path_of(MODEL, tmp_path).write_text(usual.model_dump_json())
    assert read_baseline(MODEL, tmp_path) == read_baseline(MODEL, tmp_path, "1") == usual


def without(key):
    return lambda content: content.pop(key)


def put(feature, key, value):
    return lambda content: content[feature].update({key: value})


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (without("samples"), "samples"),
        (put("brightness", "edges", [1, 1]), "edges must rise"),
        (put("brightness", "edges", [2, 1]), "edges must rise"),
        (put("brightness", "edges", [float("nan")]), "finite"),
        (put("brightness", "counts", [1]), "counts must be 10"),
        (put("brightness", "counts", [0] * 10), "not all of them 0"),
        (put("brightness", "counts", [-1] * 10), "greater than or equal to 0"),
        (put("label", "names", ["cat", "cat"]), "names must differ"),
        (lambda content: content.update(model="other"), "it is of other 1, not of shade 1"),
        (lambda content: content.update(more=1), "more"),
    ],
)
def test_a_damaged_file_is_refused_with_its_fault_and_a_remedy(tmp_path, usual, damage, expected):
    """Where it is, and how it is made again."""
    content = json.loads(usual.model_dump_json())
    damage(content)
    path_of(MODEL, tmp_path).write_text(json.dumps(content))
    with pytest.raises(ConfigurationError) as refused:
        read_baseline(MODEL, tmp_path)
    assert expected in refused.value.detail
    assert str(tmp_path) in refused.value.detail
    assert "drift baseline FOLDER --model shade" in refused.value.detail


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"0" * 1000])
def test_what_is_no_baseline_at_all_is_refused_too(tmp_path, content):
    """Half a file, or another's."""
    path_of(MODEL, tmp_path).write_bytes(content)
    with pytest.raises(ConfigurationError, match="make it again"):
        read_baseline(MODEL, tmp_path)


def test_a_baseline_of_another_version_is_refused(tmp_path, usual):
    """Another net has other confidences."""
    path_of(MODEL, tmp_path).write_text(usual.model_dump_json())
    with pytest.raises(ConfigurationError, match="it is of shade 1, not of shade 2"):
        read_baseline(MODEL, tmp_path, "2")


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    """A folder, for one."""
    path_of(MODEL, tmp_path).mkdir()
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_baseline(MODEL, tmp_path)
