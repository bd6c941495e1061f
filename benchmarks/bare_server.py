"""Gunicorn as configured, serving bare_app.py with metrics that count nothing.

Gunicorn's own configuration imports the catalogue of metrics, in the arbiter already, so the values
behind them are replaced before Gunicorn begins.
"""

import sys
from typing import Any

from gunicorn.app.wsgiapp import run
from prometheus_client import values

from project.settings.loading import load_settings


class NoValue:
    """A value of a metric that forgets what it is told."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def inc(self, amount: float) -> None:
        """Forget."""

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Forget."""

    def get(self) -> float:
        """Nothing was counted."""
        return 0.0

    def set_exemplar(self, exemplar: Any) -> None:
        """Forget."""

    def get_exemplar(self) -> None:
        """There is none."""


if __name__ == "__main__":
    values.ValueClass = NoValue
    if folder := load_settings().prometheus_multiproc_dir:
        folder.mkdir(parents=True, exist_ok=True)
    sys.argv = ["gunicorn", "benchmarks.bare_app:app"]
    run()
