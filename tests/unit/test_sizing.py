"""Workers and threads suit the container, unless the settings say otherwise."""

import pytest

from project.resources import Resources
from project.sizing import Sizing, size
from tests.conftest import make_settings

GIB = 2**30


@pytest.mark.parametrize(
    ("processors", "gibibytes", "workers", "streams"),
    [
        (0.5, 0.5, 1, 1),  # the smallest container: one worker, though hardly room for it
        (1, 2, 1, 1),
        (1.5, 4, 2, 2),
        (2, 24, 2, 2),
        (2, 1, 1, 2),  # memory for one, which then has all processors
        (4, 8, 2, 4),
        (8, 32, 4, 8),
        (64, 256, 32, 64),
        (256, 8, 10, 256),
        (256, 1024, 64, 256),
    ],
)
def test_the_container_decides(processors, gibibytes, workers, streams):
    """Quota and memory limit, not the host's processors, as `read_machine` finds them."""
    machine = Resources(processors, int(gibibytes * GIB))
    assert size(make_settings(inference_streams=None), machine) == Sizing(workers, streams)


def test_the_settings_have_the_last_word():
    """Whoever has measured knows better."""
    machine = Resources(4, 8 * GIB)
    settings = make_settings(web_concurrency=8, inference_streams=3)
    assert size(settings, machine) == Sizing(8, 3)


def test_one_worker_alone_has_the_whole_machine():
    """With a thread for each processor."""
    settings = make_settings(web_concurrency=1, inference_streams=None)
    assert size(settings, Resources(16, 64 * GIB)) == Sizing(1, 16)
