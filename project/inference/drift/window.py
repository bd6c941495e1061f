"""Sliding-window counts of the bins of a histogram, in one small file for each worker.

A file is a header, then a ring of PARTS parts of the window's time: each holds the number of its
part of time, then its row of counts. The file is mapped into the worker's memory, so that the
counts survive when the worker is killed, and its successor in the slot continues them. A part whose
time is over is overwritten.
"""

import mmap
from array import array
from collections.abc import Iterable
from pathlib import Path

from project.atomic_write import write_atomically

PARTS = 12
MAGIC = b"VDRIFT01"  # of this layout
CELL = 8  # bytes, of the machine's order: these files are read where they are written
BEING_CLEARED = -1  # in place of a part's number


class Layout:
    """The layout of a file with so many bins for a window of so many seconds.

    fingerprint: of what the bins mean; a file with another one does not fit.
    """

    def __init__(self, bins: int, fingerprint: bytes, seconds: float) -> None:
        self.bins = bins
        self.part_seconds = seconds / PARTS
        self._header = MAGIC + fingerprint + array("d", [seconds]).tobytes()
        self._size = len(self._header) + PARTS * (1 + bins) * CELL

    def blank(self) -> bytearray:
        """The content of a file without counts."""
        return bytearray(self._header.ljust(self._size, b"\0"))

    def fits(self, data: bytes | bytearray) -> bool:
        """Whether this is the content of a whole file of this layout."""
        return len(data) == self._size and data.startswith(self._header)

    def cells(self, buffer: bytearray | mmap.mmap) -> memoryview:
        """The parts of a file in memory, as 64-bit integers."""
        return memoryview(buffer)[len(self._header) :].cast("q")

    def row_of(self, data: bytes | bytearray, now: float) -> list[int]:
        """The counts (bins,) of the window that ends now. data: the content of a file."""
        cells = array("q", bytes(data[len(self._header) :]))
        newest = self.part_at(now)
        row = [0] * self.bins
        for start in range(0, len(cells), 1 + self.bins):
            if max(0, newest - PARTS) < cells[start] <= newest:
                counts = cells[start + 1 : start + 1 + self.bins]
                row = [sum(pair) for pair in zip(row, counts, strict=True)]
        return row

    def part_at(self, now: float) -> int:
        """The number of the part of time that a moment is in; from 1, as 0 is an unused part."""
        return int(now / self.part_seconds) + 1


class Window:
    """The counts of one process. path: of their file; None to hold them in memory alone.

    Raises OSError where the file cannot be written.
    """

    def __init__(self, layout: Layout, path: Path | None) -> None:
        self._layout = layout
        self._path = path
        self._buffer = layout.blank() if path is None else _map_file(layout, path)
        self._cells = layout.cells(self._buffer)

    def add(self, bins: Iterable[int], now: float) -> None:
        """Add one to each of these bins."""
        part = self._layout.part_at(now)
        start = part % PARTS * (1 + self._layout.bins)
        if self._cells[start] != part:
            self._clear(start)
            self._cells[start] = part
        for number in bins:
            self._cells[start + 1 + number] += 1

    def _clear(self, start: int) -> None:
        """Set a part to 0; readers, and a successor after a kill, see no valid number meanwhile."""
        self._cells[start] = BEING_CLEARED
        for number in range(start + 1, start + 1 + self._layout.bins):
            self._cells[number] = 0

    def content(self) -> bytes:
        """The content of the file."""
        return bytes(self._buffer)


def read_rows(layout: Layout, paths: Iterable[Path], now: float) -> list[list[int]]:
    """The counts of each of these files; those that are torn or do not fit are left out."""
    rows = []
    for path in paths:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        if layout.fits(data):
            rows.append(layout.row_of(data, now))
    return rows


def _map_file(layout: Layout, path: Path) -> mmap.mmap:
    """Map the file into memory; one that does not fit is replaced. Raises OSError."""
    if not (path.exists() and layout.fits(path.read_bytes())):
        write_atomically(path, layout.blank())
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
