"""The catalogue is the truth: what is declared, what is registered and what is shown are one."""

import re
from itertools import product
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from project import docgen
from project.observability import metrics
from project.observability.metrics import CATALOGUE, FOREIGN, Spec, declare, exposed, gauge_modes

ROOT = Path(__file__).parents[2]
KINDS = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
ODD_UNITS = {
    *("ms", "milliseconds", "microseconds", "minutes", "hours", "kb", "mb", "kilobytes"),
    *("megabytes", "percent", "percentage"),
}
RESERVED = {"le", "quantile", "job", "instance"}


def registered():
    """Every metric object of ours by its full name; Python's own collectors are not ours."""
    return {
        collector._name + ("_total" if isinstance(collector, Counter) else ""): collector
        for collector in REGISTRY._collector_to_names
        if isinstance(collector, MetricWrapperBase)
    }


def by_name(spec: Spec) -> str:
    return spec.name


KEPT = [spec for spec in CATALOGUE if spec.kept]
each = pytest.mark.parametrize("spec", CATALOGUE, ids=by_name)
each_kept = pytest.mark.parametrize("spec", KEPT, ids=by_name)


def test_what_is_registered_is_in_the_catalogue_and_the_other_way_round():
    """A metric outside of it is on no page and in no test."""
    names = [spec.name for spec in exposed()]
    assert len(set(names)) == len(names)
    assert set(registered()) == {spec.name for spec in KEPT}


def test_what_a_library_names_stands_apart_from_what_we_name():
    """Its units are not ours to choose."""
    assert {spec.name.partition("_")[0] for spec in FOREIGN} == {"dramatiq"}
    assert not [spec for spec in CATALOGUE if spec.name.startswith("dramatiq")]


@each_kept
def test_the_metric_is_what_the_catalogue_says(spec):
    """Kind, labels, help, mode and buckets."""
    metric = registered()[spec.name]
    assert type(metric) is KINDS[spec.kind]
    assert metric._labelnames == spec.labels
    assert metric._documentation == spec.help
    assert getattr(metric, "_multiprocess_mode", None) == spec.mode
    if spec.kind == "histogram":
        assert metric._kwargs.get("buckets", spec.buckets) == spec.buckets
        assert list(spec.buckets) == sorted(set(spec.buckets))


@each
def test_names_and_labels_follow_prometheus(spec):
    """The guide: https://prometheus.io/docs/practices/naming/."""
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", spec.name)
    assert spec.name.endswith("_total") == (spec.kind == "counter")
    assert not spec.name.endswith(("_count", "_sum", "_bucket", "_created"))
    assert not set(spec.name.split("_")) & ODD_UNITS
    if "duration" in spec.name or "lag" in spec.name:
        assert spec.name.endswith("_seconds")
    for label in spec.labels:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", label)
        assert not label.startswith("__")
    assert not set(spec.labels) & RESERVED
    assert spec.help.endswith(".") or spec.help.startswith("1")
    assert spec.section


@each_kept
def test_closed_sets_belong_to_labels_and_gauges_have_a_mode(spec):
    """A set for no label, or a gauge without a mode, is a slip of the pen."""
    assert set(spec.values) <= set(spec.labels)
    assert (spec.mode in gauge_modes()) == (spec.kind == "gauge")


@each_kept
def test_series_of_closed_sets_are_there_from_the_start(spec):
    """An alert sees 0, not nothing, and a rate sees the first event."""
    names = ["declared"]
    declare(
        names,
        jobs=names,
        slo_seconds={"declared": 0.5},
        streams=names,
        attempts=names,
        accounts=True,
    )
    known = spec.values | {"model": ("declared",)}
    if not spec.values:
        return
    assert set(spec.labels) <= set(known)
    children = set(registered()[spec.name]._metrics)
    assert set(product(*(known[label] for label in spec.labels))) <= children


def test_declaring_counts_nothing():
    """The series begin at 0, and declaring twice changes no value."""
    for _ in range(2):
        declare(
            ["untouched"],
            jobs=["untouched"],
            slo_seconds={"untouched": 0.5},
            streams=["untouched"],
            attempts=["untouched"],
        )
    samples = [
        sample
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.labels.get("model") == "untouched" and sample.name != "model_slo_seconds"
    ]
    assert len(samples) > 20
    assert {sample.value for sample in samples} == {0}


def test_a_scrape_of_one_process_has_no_creation_times():
    """Several processes have none, and both are to look alike."""
    metrics.HTTP_REJECTED.labels("invalid")
    names = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    assert not {name for name in names if name.endswith("_created")}


@pytest.mark.parametrize("spec", exposed(), ids=by_name)
def test_the_page_shows_the_metric(spec):
    """With every label and every value of a closed set."""
    page = docgen.metrics_page()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{spec.name}` ")]
    assert spec.help in row
    for label in spec.labels:
        assert label in row
    for values in spec.values.values():
        assert ", ".join(values) in row
