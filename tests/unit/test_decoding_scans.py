"""JPEGs of many scans, each of which may cost a pass over all pixels."""

import pytest

from project.errors import InvalidImage
from project.inference.images.decoding import MAX_SCANS, ImageLimits, count_scans, decode
from tests import corpus


def test_a_progressive_jpeg_of_ordinary_many_scans_is_read():
    """The limit on scans is far above what encoders write; a second picture does not count."""
    assert decode(corpus.jpeg_of_scans(90), ImageLimits(5_000_000, 8)).size == (2048, 2048)
    appended = corpus.in_every_format()["jpeg"] + corpus.jpeg_of_scans(500)
    assert decode(appended, ImageLimits(5_000_000, 8)).size == (corpus.WIDTH, corpus.HEIGHT)


def test_no_marker_hides_the_scans_that_follow_it():
    """Markers that may occur inside a scan have no length, whatever bytes follow them."""
    for marker in (b"\xff\x05", b"\xff\xd0", b"\xff\x00", b"\xff\x01", b"\xff\xff"):
        assert count_scans(corpus.jpeg_of_scans(500, marker + b"\x7f\xff")) == 501


@pytest.mark.parametrize("odd", [b"", b"\xff\xfe\x00\x03x"])
def test_too_many_scans_are_seen_wherever_their_markers_fall(odd):
    """A comment of odd length before them moves them by a byte."""
    data = corpus.jpeg_of_scans(MAX_SCANS + 50)
    with pytest.raises(InvalidImage, match="too many parts"):
        decode(data[:2] + odd + data[2:], ImageLimits(5_000_000, 8))
