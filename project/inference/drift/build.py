"""Builds a baseline from the features of many predictions: bins of about equal counts."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from project.errors import ConfigurationError
from project.inference.drift.baseline import Baseline, LabelHistogram, NumericHistogram
from project.observability.metrics import FEATURES

MIN_SAMPLES = 100
NUMBER_BINS = 10
MAX_LABELS = 20
SAMPLES_PER_LABEL = 10  # with fewer, chance alone makes a large index: see psi
DIGITS = 4  # of an edge; closer values share a bin


def build_baseline(
    model: str, version: str, samples: Sequence[Mapping[str, float | str]]
) -> Baseline:
    """Build the baseline of a model.

    samples: the features of each prediction; see features_of. Raises ConfigurationError where they
    are fewer than MIN_SAMPLES.
    """
    if len(samples) < MIN_SAMPLES:
        raise ConfigurationError(
            f"{len(samples)} predictions are too few to compare with: send at least {MIN_SAMPLES}, "
            "and better a thousand"
        )

    def histogram(feature: str) -> NumericHistogram | None:
        values = [float(features[feature]) for features in samples if feature in features]
        return _numeric_histogram(values) if values else None

    labels = [str(features["label"]) for features in samples if "label" in features]
    return Baseline.model_validate(
        {
            "model": model,
            "version": version,
            "samples": len(samples),
            **{feature: histogram(feature) for feature in FEATURES if feature != "label"},
            "label": _label_histogram(labels) if labels else None,
        }
    )


def _numeric_histogram(values: Sequence[float]) -> NumericHistogram:
    """Deciles; a value that holds a decile or more gets a bin of its own."""
    cuts = np.arange(1, NUMBER_BINS) / NUMBER_BINS
    quantiles = np.quantile(np.round(values, DIGITS), cuts, method="lower").tolist()
    frequent = [value for value, count in Counter(quantiles).items() if count > 1]
    step = 10.0**-DIGITS
    edges = sorted({*quantiles, *(round(value + step, DIGITS) for value in frequent)})
    empty = NumericHistogram.model_construct(edges=tuple(edges), counts=())
    counts = Counter(empty.bin_of(value) for value in values)
    return NumericHistogram(
        edges=tuple(edges), counts=tuple(counts[bin_] for bin_ in range(len(edges) + 1))
    )


def _label_histogram(labels: Sequence[str]) -> LabelHistogram:
    """The most frequent labels with enough samples; the rest share a bin."""
    frequent = sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0]))[:MAX_LABELS]
    counted = [(name, count) for name, count in frequent if count >= SAMPLES_PER_LABEL]
    names, counts = [name for name, _ in counted], [count for _, count in counted]
    return LabelHistogram(names=tuple(names), counts=(*counts, len(labels) - sum(counts)))
