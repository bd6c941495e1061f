"""What a model's predictions looked like when all was well, and how far others are from that.

A baseline is one small JSON file beside the weights, made by `python -m project drift baseline`.
"""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator

from project.errors import ConfigurationError
from project.observability.metrics import FEATURES

FILES = Path(__file__).parents[2] / "models" / "files"
HALF = 0.5  # of a sample, which an empty bin counts as: no logarithm is of nothing
Finite = Annotated[float, Field(allow_inf_nan=False)]


def psi(expected: Sequence[float], actual: Sequence[float]) -> float:
    """Population stability index of two histograms.

    expected, actual: (bins,) counts, same edges; empty bins count as half a sample.
    Returns a number >= 0, the same both ways round; above 0.25 is read as drift (Siddiqi 2006,
    ch. 6). Where both are of one population, about (bins - 1) * (1 / n + 1 / m) of it is chance.
    """
    filled = [[count or HALF for count in counts] for counts in (expected, actual)]
    sums = [sum(counts) for counts in filled]
    shares = ((was / sums[0], now / sums[1]) for was, now in zip(*filled, strict=True))
    return math.fsum((now - was) * math.log(now / was) for was, now in shares)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Numbers(_Frozen):
    """Counts of a number. edges: a value is in the bin behind the last edge not above it."""

    edges: tuple[Finite, ...]
    counts: tuple[NonNegativeInt, ...]

    def bin_of(self, value: float | str) -> int:
        """Which bin it falls into."""
        return bisect_right(self.edges, float(value))

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must rise")
        _check(self.counts, len(self.edges) + 1)
        return self


class Names(_Frozen):
    """Counts of names; those that are not among them share the last bin."""

    names: tuple[str, ...]
    counts: tuple[NonNegativeInt, ...]

    def bin_of(self, value: float | str) -> int:
        """Which bin it falls into."""
        return self._bins.get(str(value), len(self.names))

    @cached_property
    def _bins(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("names must differ")
        _check(self.counts, len(self.names) + 1)
        return self


def _check(counts: Sequence[int], bins: int) -> None:
    if len(counts) != bins or not any(counts):
        raise ValueError(f"counts must be {bins}, not all of them 0")


class Baseline(_Frozen):
    """One model's. samples: pictures it was made from."""

    model: str
    version: str
    samples: int
    brightness: Numbers
    contrast: Numbers
    pixels: Numbers
    label: Names | None = None
    confidence: Numbers | None = None

    @cached_property
    def histograms(self) -> dict[str, Numbers | Names]:
        """Feature → its histogram, for those that the model has."""
        found = {feature: getattr(self, feature) for feature in FEATURES}
        return {feature: histogram for feature, histogram in found.items() if histogram}

    @cached_property
    def _starts(self) -> dict[str, int]:
        """Feature → number of its first bin, where all bins stand in one row."""
        starts, start = {}, 0
        for feature, histogram in self.histograms.items():
            starts[feature] = start
            start += len(histogram.counts)
        return starts

    @property
    def bins(self) -> int:
        """How many there are of all features."""
        return sum(len(histogram.counts) for histogram in self.histograms.values())

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of all that is in it."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()

    def bins_of(self, features: Mapping[str, float | str]) -> list[int]:
        """The bins in the row that one prediction falls into."""
        return [
            self._starts[feature] + histogram.bin_of(features[feature])
            for feature, histogram in self.histograms.items()
            if feature in features
        ]

    def compare(self, row: Sequence[int]) -> dict[str, float]:
        """Feature → PSI of what was counted in the row; those of which nothing was are left out."""
        found = {}
        for feature, histogram in self.histograms.items():
            start = self._starts[feature]
            counts = row[start : start + len(histogram.counts)]
            if any(counts):
                found[feature] = psi(histogram.counts, counts)
        return found

    def samples_in(self, row: Sequence[int]) -> int:
        """How many predictions were counted in the row; each has a brightness."""
        return sum(row[: len(self.brightness.counts)])


def path_of(model: str, folder: Path | None) -> Path:
    """Where a model's baseline is. folder: None for where the weights are."""
    return (folder or FILES) / f"{model}.baseline.json"


def read(model: str, folder: Path | None, version: str | None = None) -> Baseline | None:
    """A model's baseline, if it has one. version: that it must be of; None: any.

    Raises ConfigurationError where the file is none, or of something else.
    """
    path = path_of(model, folder)
    try:
        baseline = Baseline.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else _first(error)
        raise ConfigurationError(f"{path}: {reason}; {_remedy(model)}") from error
    if (baseline.model, baseline.version) != (model, version or baseline.version):
        raise ConfigurationError(
            f"{path}: it is of {baseline.model} {baseline.version}, not of {model} "
            f"{version or baseline.version}; {_remedy(model)}"
        )
    return baseline


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join([*map(str, fault["loc"]), fault["msg"]])


def _remedy(model: str) -> str:
    return f"make it again: python -m project drift baseline FOLDER --model {model}"
