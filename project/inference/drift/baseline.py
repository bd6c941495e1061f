"""A model's baseline: histograms of its usual predictions, which others are compared with.

A baseline is one small JSON file beside the weights, made by `python -m project drift baseline`.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator

from project.errors import ConfigurationError
from project.inference.drift.psi import psi
from project.observability.metrics import FEATURES

FILES = Path(__file__).parents[2] / "models" / "files"
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NumericHistogram(_Frozen):
    """Counts of a number. edges: a value is in the bin behind the last edge not above it."""

    edges: tuple[Finite, ...]
    counts: tuple[NonNegativeInt, ...]

    def bin_of(self, value: float | str) -> int:
        """The number of the bin that a value falls into."""
        return bisect_right(self.edges, float(value))

    @model_validator(mode="after")
    def _check_bins(self) -> Self:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must rise")
        _check_counts(self.counts, len(self.edges) + 1)
        return self


class LabelHistogram(_Frozen):
    """Counts of labels; those that are not in `names` share the last bin."""

    names: tuple[str, ...]
    counts: tuple[NonNegativeInt, ...]

    def bin_of(self, value: float | str) -> int:
        """The number of the bin that a value falls into."""
        return self._bins.get(str(value), len(self.names))

    @cached_property
    def _bins(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @model_validator(mode="after")
    def _check_bins(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("names must differ")
        _check_counts(self.counts, len(self.names) + 1)
        return self


def _check_counts(counts: Sequence[int], bins: int) -> None:
    if len(counts) != bins or not any(counts):
        raise ValueError(f"counts must be {bins}, not all of them 0")


class Baseline(_Frozen):
    """The histograms of one model. samples: predictions that they were made from."""

    model: str
    version: str
    samples: int
    brightness: NumericHistogram | None = None
    contrast: NumericHistogram | None = None
    pixels: NumericHistogram | None = None
    length: NumericHistogram | None = None
    non_ascii: NumericHistogram | None = None
    label: LabelHistogram | None = None
    confidence: NumericHistogram | None = None

    @cached_property
    def histograms(self) -> dict[str, NumericHistogram | LabelHistogram]:
        """Feature → its histogram, for the features that the model has."""
        all_features = {feature: getattr(self, feature) for feature in FEATURES}
        return {feature: histogram for feature, histogram in all_features.items() if histogram}

    @cached_property
    def _starts(self) -> dict[str, int]:
        """Feature → the index of its first bin in a row of all bins."""
        starts, start = {}, 0
        for feature, histogram in self.histograms.items():
            starts[feature] = start
            start += len(histogram.counts)
        return starts

    @property
    def bins(self) -> int:
        """The number of bins of all features: the length of a row."""
        return sum(len(histogram.counts) for histogram in self.histograms.values())

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the content."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()

    def bins_of(self, features: Mapping[str, float | str]) -> list[int]:
        """The indices in a row that one prediction is counted in."""
        return [
            self._starts[feature] + histogram.bin_of(features[feature])
            for feature, histogram in self.histograms.items()
            if feature in features
        ]

    def compare(self, row: Sequence[int]) -> dict[str, float]:
        """Feature → PSI of the row's counts; features without counts are left out."""
        indices = {}
        for feature, histogram in self.histograms.items():
            start = self._starts[feature]
            counts = row[start : start + len(histogram.counts)]
            if any(counts):
                indices[feature] = psi(histogram.counts, counts)
        return indices

    def samples_in(self, row: Sequence[int]) -> int:
        """The number of predictions counted in a row: those of the most frequent feature."""
        return max(
            (
                sum(row[self._starts[feature] : self._starts[feature] + len(histogram.counts)])
                for feature, histogram in self.histograms.items()
            ),
            default=0,
        )


def path_of(model: str, folder: Path | None) -> Path:
    """The path of a model's baseline. folder: None for the folder of the weights."""
    return (folder or FILES) / f"{model}.baseline.json"


def read_baseline(model: str, folder: Path | None, version: str | None = None) -> Baseline | None:
    """Read a model's baseline, if it has one. version: the model's; None for any.

    Raises ConfigurationError where the file is damaged, or of another model or version.
    """
    path = path_of(model, folder)
    try:
        baseline = Baseline.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else _first_fault(error)
        raise ConfigurationError(f"{path}: {reason}; {_remedy(model)}") from error
    if (baseline.model, baseline.version) != (model, version or baseline.version):
        raise ConfigurationError(
            f"{path}: it is of {baseline.model} {baseline.version}, not of {model} "
            f"{version or baseline.version}; {_remedy(model)}"
        )
    return baseline


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join([*map(str, fault["loc"]), fault["msg"]])


def _remedy(model: str) -> str:
    return f"make it again: python -m project drift baseline FOLDER --model {model}"
