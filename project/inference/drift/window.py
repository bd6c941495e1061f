"""Counts of the last while, in a row of bins: one small file for each worker, and their sum.

A file is a head, then PARTS parts of the window's time: each the number of its part of time, then
its row. It is mapped into the worker's memory, so that what was counted is there when the worker is
killed, and its successor in the slot goes on. A part whose time is over is counted over.
"""

import mmap
import os
import tempfile
from array import array
from collections.abc import Iterable
from pathlib import Path

PARTS = 12
MAGIC = b"VDRIFT01"  # of this layout
CELL = 8  # bytes, of the machine's order: these files are read where they are written
BEING_CLEARED = -1


class Layout:
    """What a file of these bins and this length of time is like.

    fingerprint: of what the bins mean; a file of another is no use.
    """

    def __init__(self, bins: int, fingerprint: bytes, seconds: float) -> None:
        self.bins = bins
        self.part_seconds = seconds / PARTS
        self._head = MAGIC + fingerprint + array("d", [seconds]).tobytes()
        self._size = len(self._head) + PARTS * (1 + bins) * CELL

    def blank(self) -> bytearray:
        """A file in which nothing is counted."""
        return bytearray(self._head.ljust(self._size, b"\0"))

    def fits(self, data: bytes | bytearray) -> bool:
        """Whether this is a whole file of this layout."""
        return len(data) == self._size and data.startswith(self._head)

    def cells(self, buffer: bytearray | mmap.mmap) -> memoryview:
        """The parts of a file in memory."""
        return memoryview(buffer)[len(self._head) :].cast("q")

    def row(self, data: bytes | bytearray, now: float) -> list[int]:
        """What was counted in the window that ends now."""
        cells = array("q", bytes(data[len(self._head) :]))
        newest = self.part_at(now)
        row = [0] * self.bins
        for start in range(0, len(cells), 1 + self.bins):
            if max(0, newest - PARTS) < cells[start] <= newest:
                counts = cells[start + 1 : start + 1 + self.bins]
                row = [sum(pair) for pair in zip(row, counts, strict=True)]
        return row

    def part_at(self, now: float) -> int:
        """The number of a moment's part of time; from 1, as 0 is nobody's."""
        return int(now / self.part_seconds) + 1


class Window:
    """One process's counts. path: where they are kept; None: in this process alone."""

    def __init__(self, layout: Layout, path: Path | None) -> None:
        self._layout = layout
        self._path = path
        self._buffer = layout.blank() if path is None else _mapped(layout, path)
        self._cells = layout.cells(self._buffer)

    def add(self, bins: Iterable[int], now: float) -> None:
        """Count one in each of these bins."""
        part = self._layout.part_at(now)
        start = part % PARTS * (1 + self._layout.bins)
        if self._cells[start] != part:
            self._clear(start)
            self._cells[start] = part
        for number in bins:
            self._cells[start + 1 + number] += 1

    def _clear(self, start: int) -> None:
        """Forget a part; who reads or is killed meanwhile takes it for nobody's."""
        self._cells[start] = BEING_CLEARED
        for number in range(start + 1, start + 1 + self._layout.bins):
            self._cells[number] = 0

    def content(self) -> bytes:
        """The file, as it is now."""
        return bytes(self._buffer)


def rows(layout: Layout, paths: Iterable[Path], now: float) -> list[list[int]]:
    """What each of these files says; those that are torn, or of something else, say nothing."""
    found = []
    for path in paths:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        if layout.fits(data):
            found.append(layout.row(data, now))
    return found


def _mapped(layout: Layout, path: Path) -> mmap.mmap:
    """The file in memory; one that does not fit is replaced. Raises OSError."""
    if not (path.exists() and layout.fits(path.read_bytes())):
        _replace(path, layout.blank())
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def _replace(path: Path, data: bytes | bytearray) -> None:
    """Write a file whole, then put it in place: to a full disk an mmap is a SIGBUS."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).rename(path)
