"""What the arbiter does when a worker ends, whatever state the worker's files are in."""

import pytest

from project.server.hooks import count_lost_requests
from tests.samples import sample


@pytest.mark.parametrize(
    "left", [b"", b"\xff" * 64, b"\x40\0\0\0\0\0\0\0\x04\0\0\0nope" + b" " * 44]
)
def test_a_damaged_metric_file_does_not_end_the_arbiter(tmp_path, left):
    """The requests that died with that worker are then unknown, and the server goes on."""
    (tmp_path / "gauge_livesum_0.db").write_bytes(left)
    before = sample("http_requests_lost_total")
    count_lost_requests(tmp_path, "0")
    assert sample("http_requests_lost_total") == before
