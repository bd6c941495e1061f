"""The cache of compiled nets, with which a restart and a second worker load fast."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from project.inference.backends import eager
from project.inference.backends.compiled import (
    EXPECTED,
    VERDICT,
    file_of,
    read_entry,
    write_verdict,
)
from project.inference.backends.nets import ONLY
from project.inference.backends.selection import prepare_net
from tests.models.nets import NetModel, batch
from tests.samples import sample

WANTED = "openvino-f32"


def fail(_work):
    pytest.fail("converted again")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A cache with one compiled net in it."""
    folder = tmp_path_factory.mktemp("converted")
    assert prepare_net(NetModel(), WANTED, streams=1, cache=folder) == "child"
    return folder


@pytest.fixture
def entry_of():
    """Finds the only entry of a cache."""

    def find(cache):
        (entry,) = (path for path in cache.iterdir() if path.is_dir())
        return entry

    return find


@pytest.fixture
def copying(converted, entry_of):
    """A conversion that copies what the real one made, and lists where it did."""
    works = []

    def convert(work):
        works.append(work)
        shutil.copytree(entry_of(converted), work, dirs_exist_ok=True)

    convert.works = works
    return convert


def test_a_net_is_converted_once_and_found_again(model, converted):
    """A restart and a second worker load what the first one made."""
    assert prepare_net(model, WANTED, streams=1, cache=converted, convert=fail) == "cache"
    assert model.backend == WANTED


@pytest.mark.parametrize("damage", [b"damaged", b"{}", b"[]", None])
@pytest.mark.parametrize("name", ["f32.net", EXPECTED, VERDICT])
def test_a_damaged_cache_is_made_anew(model, converted, copying, entry_of, tmp_path, name, damage):
    """A disk that was full, a process that was killed."""
    copy = tmp_path / "cache"
    shutil.copytree(converted, copy)
    entry = entry_of(copy)
    (entry / name).write_bytes(damage) if damage else (entry / name).unlink()
    prepare_net(model, WANTED, streams=1, cache=copy, convert=copying)
    assert model.backend == WANTED
    assert len(copying.works) == 1
    assert read_entry(entry)


def test_a_cache_that_cannot_be_written_costs_no_backend(model, converted, copying, tmp_path):
    """A full disk: what was converted serves, and the next start converts again."""
    full = tmp_path / "cache"
    full.mkdir()
    for folder in converted.iterdir():
        (full / f"{folder.name}.part").touch()  # where the net would be put, there is a file
    prepare_net(model, WANTED, streams=1, cache=full, convert=copying)
    assert model.backend == WANTED
    assert len(copying.works) == 1
    assert not [path for path in full.iterdir() if path.is_dir()]


def test_other_weights_are_another_net(converted, tmp_path):
    """Weights that are in no file are known by the net's state."""
    copy = tmp_path / "cache"
    shutil.copytree(converted, copy)
    model = NetModel()
    model.source = "1"
    expected = eager.as_function(model.build_net())(batch(2))
    assert prepare_net(model, WANTED, streams=1, cache=copy) == "child"
    assert np.abs(model.net(batch(2)) - expected).max() < 1e-4


def test_a_verdict_that_nothing_is_equal_is_kept(model, converted, entry_of, tmp_path):
    """The net is not converted again at each start; each start counts that it is passed over."""
    copy = tmp_path / "cache"
    shutil.copytree(converted, copy)
    write_verdict(entry_of(copy), [EXPECTED], {"f32": "differs from torch by 7"})
    before = sample("model_backend_failures_total", model="shade", backend=WANTED)
    assert prepare_net(model, WANTED, streams=1, cache=copy, convert=fail) == "worker"
    assert model.backend == "torch"
    assert sample("model_backend_failures_total", model="shade", backend=WANTED) == before + 1


def test_outputs_that_differ_in_this_process_are_passed_over(model, converted, entry_of, tmp_path):
    """The worker compares too, with what torch gave in the child."""
    copy = tmp_path / "cache"
    shutil.copytree(converted, copy)
    entry = entry_of(copy)
    with np.load(entry / EXPECTED) as expected:
        wrong = {name: outputs + 1 for name, outputs in expected.items()}
    np.savez(entry / EXPECTED, **wrong)
    write_verdict(entry, [EXPECTED, file_of("f32", ONLY)], {})
    assert prepare_net(model, WANTED, streams=1, cache=copy, convert=fail) == "worker"
    assert model.backend == "torch"


def test_a_cache_that_is_read_only_serves_all_the_same(model, converted, tmp_path):
    """An image's read-only file system: not even a lock can be made there."""
    shut = tmp_path / "cache"
    shutil.copytree(converted, shut, ignore=shutil.ignore_patterns("*.lock"))
    for folder in converted.iterdir():
        (shut / f"{folder.name.removesuffix('.lock')}.lock").mkdir(exist_ok=True)
    prepare_net(model, WANTED, streams=1, cache=shut, convert=fail)
    assert model.backend == WANTED


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
