"""Converted nets are kept, so that a restart and a second worker load fast."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from project.inference.backends import openvino
from project.inference.backends.selection import accelerate
from tests.models.nets import NetModel, batch


def test_a_net_is_converted_once_and_found_again(model, cache, monkeypatch):
    """A restart and a second worker load what the first one made."""
    accelerate(model, "openvino", streams=1, cache=cache)
    monkeypatch.setattr(openvino, "_build", lambda _: pytest.fail("converted again"))
    again = NetModel()
    again.load()
    accelerate(again, "openvino", streams=1, cache=cache)
    assert again.backend == model.backend


@pytest.mark.parametrize("damage", [b"damaged", b"{}", b"[]", None])
@pytest.mark.parametrize("name", ["f32", openvino.SUMS])
def test_a_damaged_cache_is_made_anew(model, cache, tmp_path, name, damage):
    """A disk that was full, a process that was killed."""
    accelerate(model, "openvino-f32", streams=1, cache=cache)
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    folders = [path for path in copy.iterdir() if path.is_dir()]
    for folder in folders:  # of this net, and of another test's
        (folder / name).write_bytes(damage) if damage else (folder / name).unlink()
    again = NetModel()
    again.load()
    accelerate(again, "openvino-f32", streams=1, cache=copy)
    assert again.backend == model.backend
    assert [openvino._read(folder, "f32") is None for folder in folders].count(False) == 1


def test_a_cache_that_cannot_be_written_costs_no_backend(model, cache, tmp_path):
    """A full disk: what was built serves, and the next start builds again."""
    accelerate(model, "openvino-f32", streams=1, cache=cache)
    full = tmp_path / "cache"
    full.mkdir()
    for folder in cache.iterdir():
        (full / f"{folder.name}.part").touch()  # where the net would be put, a file stands
    again = NetModel()
    again.load()
    accelerate(again, "openvino-f32", streams=1, cache=full)
    assert again.backend == model.backend
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


def test_a_cache_that_nobody_may_write_is_read_all_the_same(model, cache, tmp_path):
    """An image's read-only file system: not even a lock can be made there."""
    accelerate(model, "openvino-f32", streams=1, cache=cache)
    shut = tmp_path / "cache"
    shutil.copytree(cache, shut, ignore=shutil.ignore_patterns("*.lock"))
    for folder in cache.iterdir():
        (shut / f"{folder.name.removesuffix('.lock')}.lock").mkdir(exist_ok=True)
    again = NetModel()
    again.load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "_build", lambda _: pytest.fail("converted again"))
        accelerate(again, "openvino-f32", streams=1, cache=shut)
    assert again.backend == model.backend


def test_openvino_tells_nobody_that_it_was_started():
    """Its telemetry stays out of the process, so that a server speaks only to whom it was told."""
    script = (
        "import sys; import project.inference.backends.openvino, openvino;"
        "from openvino.tools.ovc.main import tm; print(tm.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
