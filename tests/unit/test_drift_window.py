"""Sliding-window counts: they expire, survive their process, and come from no foreign file."""

import os
import signal
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project.inference.drift.window import BEING_CLEARED, PARTS, Layout, Window, read_rows

SECONDS = 120.0
PART = SECONDS / PARTS
BINS = 3
PRINT = b"f" * 32
LAYOUT = Layout(BINS, PRINT, SECONDS)


def row(window: Window, now: float) -> list[int]:
    return LAYOUT.row_of(window.content(), now)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shade.0.drift"


def test_what_is_counted_is_seen_at_once():
    """In its bins and no others."""
    window = Window(LAYOUT, None)
    window.add([0, 2], 1000)
    window.add([2], 1000)
    assert row(window, 1000) == [1, 0, 2]


def test_a_count_expires_with_the_window():
    """After the window's length, give or take a part."""
    window = Window(LAYOUT, None)
    window.add([1], 1000)
    assert row(window, 1000 + SECONDS - PART) == [0, 1, 0]
    assert row(window, 1000 + SECONDS) == [0, 0, 0]


def test_a_clock_that_is_put_back_shows_nothing_of_the_future():
    """The count is there again when its time comes."""
    window = Window(LAYOUT, None)
    window.add([1], 1000)
    assert row(window, 900) == [0, 0, 0]
    assert row(window, 1000) == [0, 1, 0]


@given(st.lists(st.tuples(st.floats(0, 3 * PART), st.integers(0, BINS - 1)), max_size=200))
def test_at_any_time_it_holds_the_newest_parts(events):
    """The same as a list of all events, of which one counts those of the last twelve parts."""
    window, now = Window(LAYOUT, None), 0.0
    known: deque[tuple[int, int]] = deque()
    for pause, number in events:
        now += pause
        window.add([number], now)
        known.append((int(now / PART), number))
        recent = [bin_ for part, bin_ in known if part > int(now / PART) - PARTS]
        assert row(window, now) == [recent.count(bin_) for bin_ in range(BINS)]


def test_the_counts_of_a_killed_process_survive_and_its_successor_continues_them(path):
    """SIGKILL leaves no moment to write anything down."""
    pid = os.fork()
    if pid == 0:
        window = Window(LAYOUT, path)
        for _ in range(1000):
            window.add([1], 1000)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    successor = Window(LAYOUT, path)
    successor.add([1], 1000)
    assert read_rows(LAYOUT, [path], 1000) == [[0, 1001, 0]]


def test_several_processes_are_read_one_by_one(tmp_path):
    """A row for each; one that is not there any more has none."""
    paths = [tmp_path / f"shade.{slot}.drift" for slot in range(3)]
    for number, path in enumerate(paths[:2]):
        Window(LAYOUT, path).add([number], 1000)
    assert read_rows(LAYOUT, paths, 1000) == [[1, 0, 0], [0, 1, 0]]


WHOLE = bytes(LAYOUT.blank())
OTHERS = {
    "empty": b"",
    "torn": WHOLE[:-1],
    "too long": WHOLE + b"\0",
    "another version": b"VDRIFT99" + WHOLE[8:],
    "another baseline": bytes(Layout(BINS, b"g" * 32, SECONDS).blank()),
    "another window": bytes(Layout(BINS, PRINT, SECONDS + 1).blank()),
    "more bins": bytes(Layout(BINS + 1, PRINT, SECONDS).blank()),
    "noise": b"\xff" * len(WHOLE),
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_a_file_that_does_not_fit_is_not_read_and_is_replaced(path, content):
    """Torn, or of another release, baseline or setting."""
    path.write_bytes(content)
    assert read_rows(LAYOUT, [path], 1000) == []
    Window(LAYOUT, path).add([2], 1000)
    assert read_rows(LAYOUT, [path], 1000) == [[0, 0, 1]]
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_worker_that_leaves_keeps_counting_into_a_file_that_was_replaced(path):
    """It does no harm to the one in its place."""
    leaving = Window(Layout(BINS, b"g" * 32, SECONDS), path)
    Window(LAYOUT, path)
    leaving.add([0], 1000)
    assert read_rows(LAYOUT, [path], 1000) == [[0, 0, 0]]


@pytest.mark.parametrize("now", [5, 1000], ids=["just after boot", "later"])
def test_a_part_that_is_being_cleared_counts_for_nothing(path, now):
    """A process killed there leaves half of an old part; its successor begins it again."""
    Window(LAYOUT, path).add([1], now)
    content = bytearray(path.read_bytes())
    LAYOUT.cells(content)[LAYOUT.part_at(now) % PARTS * (1 + BINS)] = BEING_CLEARED
    path.write_bytes(content)
    assert read_rows(LAYOUT, [path], now) == [[0, 0, 0]]
    Window(LAYOUT, path).add([2], now)
    assert read_rows(LAYOUT, [path], now) == [[0, 0, 1]]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    """The monitor then counts nothing."""
    with pytest.raises(FileNotFoundError):
        Window(LAYOUT, tmp_path / "gone" / "shade.0.drift")
