"""Gunicorn as configured, serving bare_app.py with metrics that count nothing.

Gunicorn's configuration imports the metrics catalogue in the arbiter already, so the values behind
the metrics are replaced before Gunicorn starts.
"""

import sys
from typing import Any

from gunicorn.app.wsgiapp import run
from prometheus_client import values

from project.settings.loading import load_settings


class NoValue:
    """A metric value that stores nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def inc(self, amount: float) -> None:
        """Do nothing."""

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Do nothing."""

    def get(self) -> float:
        """Always 0."""
        return 0.0

    def set_exemplar(self, exemplar: Any) -> None:
        """Do nothing."""

    def get_exemplar(self) -> None:
        """Always None."""


if __name__ == "__main__":
    values.ValueClass = NoValue
    if folder := load_settings().prometheus_multiproc_dir:
        folder.mkdir(parents=True, exist_ok=True)
    sys.argv = ["gunicorn", "benchmarks.bare_app:app"]
    run()
