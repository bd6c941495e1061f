"""From what was seen of many predictions to a baseline: bins that hold about as much each."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from project.errors import ConfigurationError
from project.inference.drift.baseline import Baseline, Names, Numbers

MIN_SAMPLES = 100
NUMBER_BINS = 10
MAX_LABELS = 20
SAMPLES_A_LABEL = 10  # with fewer, chance alone makes a large index: see psi
DIGITS = 4  # of an edge: no more than can be told apart


def build_baseline(model: str, version: str, seen: Sequence[Mapping[str, float | str]]) -> Baseline:
    """The baseline of predictions; seen: for each its features. Raises ConfigurationError."""
    if len(seen) < MIN_SAMPLES:
        raise ConfigurationError(
            f"{len(seen)} pictures are too few to compare with: send at least {MIN_SAMPLES}, "
            "and better a thousand"
        )

    def numbers(feature: str) -> Numbers | None:
        values = [float(features[feature]) for features in seen if feature in features]
        return _numbers(values) if values else None

    labels = [str(features["label"]) for features in seen if "label" in features]
    return Baseline.model_validate(
        {
            "model": model,
            "version": version,
            "samples": len(seen),
            **{feature: numbers(feature) for feature in ("brightness", "contrast", "pixels")},
            "label": _names(labels) if labels else None,
            "confidence": numbers("confidence"),
        }
    )


def _numbers(values: Sequence[float]) -> Numbers:
    """Deciles. A value that is as frequent as that gets a bin of its own."""
    cuts = np.arange(1, NUMBER_BINS) / NUMBER_BINS
    quantiles = np.quantile(np.round(values, DIGITS), cuts, method="lower").tolist()
    frequent = [value for value, times in Counter(quantiles).items() if times > 1]
    step = 10.0**-DIGITS
    edges = sorted({*quantiles, *(round(value + step, DIGITS) for value in frequent)})
    empty = Numbers.model_construct(edges=tuple(edges), counts=())
    counts = Counter(empty.bin_of(value) for value in values)
    return Numbers(edges=tuple(edges), counts=tuple(counts[bin_] for bin_ in range(len(edges) + 1)))


def _names(labels: Sequence[str]) -> Names:
    """The most frequent ones, as many as there are samples for; the rest together."""
    frequent = sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0]))[:MAX_LABELS]
    kept = [(name, times) for name, times in frequent if times >= SAMPLES_A_LABEL]
    names, counts = [name for name, _ in kept], [times for _, times in kept]
    return Names(names=tuple(names), counts=(*counts, len(labels) - sum(counts)))
