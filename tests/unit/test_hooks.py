"""What the arbiter does at a worker's end, whatever the worker left behind."""

import pytest

from project.observability import metrics
from project.server.hooks import _count_lost


@pytest.mark.parametrize(
    "left", [b"", b"\xff" * 64, b"\x40\0\0\0\0\0\0\0\x04\0\0\0nope" + b" " * 44]
)
def test_a_damaged_metric_file_does_not_end_the_arbiter(tmp_path, left):
    """What died with that worker is then unknown, and the server goes on."""
    (tmp_path / "gauge_livesum_0.db").write_bytes(left)
    before = metrics.HTTP_LOST._value.get()
    _count_lost(tmp_path, "0")
    assert metrics.HTTP_LOST._value.get() == before
