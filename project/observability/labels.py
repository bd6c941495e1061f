"""Bounds the cardinality of prediction labels: the first 50 that any worker sees have a series.

A thousand classes would be a thousand series; a fixed fifty would miss what this deployment sees.
The workers share the choice through one small file beside the metrics, so that together they never
count more than fifty, and a replaced worker continues with the same ones.
"""

import fcntl
from pathlib import Path

OTHER = "other"
MAX_LABELS = 50


class CountedLabels:
    """The labels of one model that have a series of their own.

    directory: that the workers share; None: this process counts alone.
    """

    def __init__(self, model: str, directory: Path | None) -> None:
        self._path = directory / f"{model}.labels" if directory else None
        self._names: set[str] = set()

    def count_as(self, label: str) -> str:
        """Return the label itself where it is counted by name, else `other`.

        A label with a line break would break the file; one with a lone surrogate, every scrape.
        """
        if not label.isprintable():
            return OTHER
        if label in self._names:
            return label
        if len(self._names) < MAX_LABELS:
            self._add(label)
        return label if label in self._names else OTHER

    def _add(self, label: str) -> None:
        if self._path is None:
            self._names.add(label)
            return
        with self._path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            self._names = set(file.read().splitlines())
            if label not in self._names and len(self._names) < MAX_LABELS:
                file.write(label + "\n")
                self._names.add(label)
