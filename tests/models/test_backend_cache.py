"""The cache of converted nets, with which a restart and a second worker load fast."""

import shutil
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from project.inference.backends.openvino import CHECKSUMS, read_compiled
from project.inference.backends.selection import accelerate, backend_candidates
from tests.models.nets import NetModel, batch


def fail(_work):
    pytest.fail("converted again")


FROM_CACHE = partial(backend_candidates, convert=fail)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A cache with one converted net in it."""
    folder = tmp_path_factory.mktemp("converted")
    model = NetModel()
    model.load()
    accelerate(model, "openvino-f32", streams=1, cache=folder)
    return folder


@pytest.fixture
def conversions(converted):
    """Candidates whose conversion copies what the real one made; lists where it did."""
    (entry,) = (path for path in converted.iterdir() if path.is_dir())
    works = []

    def convert(work):
        works.append(work)
        shutil.copytree(entry, work, dirs_exist_ok=True)

    return SimpleNamespace(works=works, candidates=partial(backend_candidates, convert=convert))


def test_a_net_is_converted_once_and_found_again(model, converted):
    """A restart and a second worker load what the first one made."""
    accelerate(model, "openvino-f32", streams=1, cache=converted, candidates=FROM_CACHE)
    assert model.backend == "openvino-f32"


@pytest.mark.parametrize("damage", [b"damaged", b"{}", b"[]", None])
@pytest.mark.parametrize("name", ["f32", CHECKSUMS])
def test_a_damaged_cache_is_made_anew(model, converted, conversions, tmp_path, name, damage):
    """A disk that was full, a process that was killed."""
    copy = tmp_path / "cache"
    shutil.copytree(converted, copy)
    (entry,) = (path for path in copy.iterdir() if path.is_dir())
    (entry / name).write_bytes(damage) if damage else (entry / name).unlink()
    candidates = conversions.candidates
    accelerate(model, "openvino-f32", streams=1, cache=copy, candidates=candidates)
    assert model.backend == "openvino-f32"
    assert len(conversions.works) == 1
    assert read_compiled(entry, "f32")


def test_a_cache_that_cannot_be_written_costs_no_backend(model, converted, conversions, tmp_path):
    """A full disk: what was converted serves, and the next start converts again."""
    full = tmp_path / "cache"
    full.mkdir()
    for folder in converted.iterdir():
        (full / f"{folder.name}.part").touch()  # where the net would be put, there is a file
    candidates = conversions.candidates
    accelerate(model, "openvino-f32", streams=1, cache=full, candidates=candidates)
    assert model.backend == "openvino-f32"
    assert len(conversions.works) == 1
    assert not [path for path in full.iterdir() if path.is_dir()]


def test_other_weights_are_another_net(model, cache):
    """The cache is keyed by what the net computes, not by its name."""
    accelerate(model, "openvino-f32", streams=1, cache=cache)
    changed = NetModel()
    changed.load()
    with torch.no_grad():
        changed.net.head.bias.add_(1)
    expected = changed.forward(batch(2))
    accelerate(changed, "openvino-f32", streams=1, cache=cache)
    assert np.abs(changed.forward(batch(2)) - expected).max() < 1e-4


def test_a_cache_that_is_read_only_serves_all_the_same(model, converted, tmp_path):
    """An image's read-only file system: not even a lock can be made there."""
    shut = tmp_path / "cache"
    shutil.copytree(converted, shut, ignore=shutil.ignore_patterns("*.lock"))
    for folder in converted.iterdir():
        (shut / f"{folder.name.removesuffix('.lock')}.lock").mkdir(exist_ok=True)
    accelerate(model, "openvino-f32", streams=1, cache=shut, candidates=FROM_CACHE)
    assert model.backend == "openvino-f32"


def test_openvino_reports_its_start_to_nobody():
    """Its telemetry stays out of the process: a server connects to what its settings name."""
    script = (
        "import sys; import project.inference.backends.openvino, openvino;"
        "from openvino.tools.ovc.main import tm; print(tm.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
