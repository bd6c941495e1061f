"""The drift monitor: compares recent predictions with each model's baseline.

Every worker counts its predictions; the process that is scraped adds up what all workers of this
instance have counted in the last DRIFT_WINDOW_SECONDS, and compares. A result from the cache is not
counted: its picture is not decoded, so its features are unknown.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

from loguru import logger
from prometheus_client import Metric
from prometheus_client.registry import Collector

from project.errors import ConfigurationError
from project.inference.drift.baseline import Baseline, read_baseline
from project.inference.drift.window import Layout, Window, read_rows
from project.observability import metrics, multiprocess
from project.settings import Settings


class DriftMonitor(Collector):
    """Counts the predictions of one process; a Prometheus collector of all processes' drift.

    directory: shared by the workers; None for this process alone. folder: of the baselines; None
    for the folder of the weights. seconds: length of the window. clock: seconds, one that all
    processes share. identity: names the files of this process.
    """

    def __init__(
        self,
        directory: Path | None,
        folder: Path | None,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        identity: Callable[[], str] = multiprocess.own_identity,
    ) -> None:
        self._directory = directory
        self._folder = folder
        self._seconds = seconds
        self._clock = clock
        self._identity = identity
        self._watched: dict[str, tuple[Baseline, Layout]] = {}
        self._windows: dict[str, Window] = {}

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The monitor that the settings name."""
        directory, folder = settings.prometheus_multiproc_dir, settings.drift_baseline_dir
        return cls(directory, folder, settings.drift_window_seconds)

    def watch(self, model: str, version: str | None = None) -> None:
        """Compare a model's predictions, if it has a baseline. version: the model's; None for any.

        A model without a baseline, or with one that cannot be used, is served all the same.
        """
        try:
            baseline = read_baseline(model, self._folder, version)
        except ConfigurationError as error:
            _warn(model, error.detail)
            return
        if baseline:
            layout = Layout(baseline.bins, baseline.fingerprint, self._seconds)
            self._watched[model] = baseline, layout

    def start_counting(self, model: str, version: str) -> None:
        """Watch a model, and count its predictions in this process."""
        self.watch(model, version)
        if model not in self._watched:
            return
        path = None
        if self._directory:
            path = self._directory / f"{model}.{self._identity()}.drift"
        try:
            self._windows[model] = Window(self._watched[model][1], path)
        except OSError as error:
            _warn(model, f"cannot write {path}: {error.strerror}")

    def count(self, model: str, features: Mapping[str, float | str]) -> None:
        """Count one prediction."""
        window = self._windows.get(model)
        if window:
            window.add(self._watched[model][0].bins_of(features), self._clock())

    def collect(self) -> Iterator[Metric]:
        """The gauges, over all workers; none for a model that no worker counts for."""
        psi, samples = (metrics.observed(it) for it in (metrics.DRIFT_PSI, metrics.DRIFT_SAMPLES))
        for model, (baseline, layout) in self._watched.items():
            rows = self._rows(model, layout)
            if not rows:
                continue
            row = [sum(bins) for bins in zip(*rows, strict=True)]
            samples.add_metric([model], baseline.samples_in(row))
            for feature, value in baseline.compare(row).items():
                psi.add_metric([model, feature], value)
        yield psi
        yield samples

    def _rows(self, model: str, layout: Layout) -> list[list[int]]:
        now = self._clock()
        if self._directory:
            return read_rows(layout, self._directory.glob(f"{model}.*.drift"), now)
        window = self._windows.get(model)
        return [layout.row_of(window.content(), now)] if window else []


def _warn(model: str, reason: str) -> None:
    logger.bind(model=model, reason=reason).warning("drift_not_measured")
