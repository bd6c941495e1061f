"""Backends: a faster one serves only where its outputs equal torch's, and takes nothing down."""

import subprocess
import sys

import numpy as np
import pytest

from project.errors import BackendUnavailable
from project.inference.backends import eager, openvino
from project.inference.backends.comparison import check_outputs
from project.inference.backends.compiled import convert_in_child
from project.inference.backends.nets import build_modules
from project.inference.backends.selection import prepare_net
from tests.models.nets import Cascade, Choosy, Forked, NetModel, Turned, Wordy, batch
from tests.samples import sample

FAMILIES = ["openvino", "torchscript"]


def failures(name: str) -> float:
    return sample("model_backend_failures_total", model="shade", backend=name)


def by_torch(count: int) -> np.ndarray:
    """What torch gives for a batch."""
    return eager.as_function(NetModel().build_net())(batch(count))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_faster_backend_gives_what_torch_gives_for_any_batch(model, cache, family, count):
    """Same winner, and differences that no one would notice."""
    expected = by_torch(count)
    prepare_net(model, family, streams=2, cache=cache)
    assert model.backend.startswith(family)
    given = model.net(batch(count))
    assert np.abs(given - expected).max() < 0.02
    assert (given.argmax(1) == expected.argmax(1)).all()


def test_the_fastest_that_there_is_is_chosen(model, cache):
    """OpenVINO, in the precision that this processor is best at."""
    prepare_net(model, "auto", streams=1, cache=cache)
    assert model.backend == f"openvino-{openvino.precisions()[0]}"


def test_torch_serves_where_it_is_asked_for(model, cache):
    """It gives what the module gives."""
    assert prepare_net(model, "torch", streams=1, cache=cache) == "worker"
    assert model.backend == "torch"
    assert (model.net(batch(2)) == by_torch(2)).all()


def test_a_model_without_a_net_is_left_alone(shade, cache):
    """A model may do its work by itself."""
    assert prepare_net(shade, "auto", streams=1, cache=cache) == "model"
    assert not hasattr(shade, "net")


@pytest.mark.parametrize("kind", ["NetModel", "Cascade"])
def test_a_worker_that_serves_a_compiled_net_never_imports_torch(tmp_path, kind):
    """Not even on the first start, when a child converts it."""
    script = (
        "import sys; from pathlib import Path;"
        "from project.inference.backends.selection import prepare_net;"
        f"from tests.models.nets import {kind} as NetModel;"
        "model = NetModel(); model.load();"
        "print(prepare_net(model, 'auto', streams=1, cache=Path(sys.argv[1])));"
        "print(model.backend, 'torch' in sys.modules)"
    )
    seen = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert [first for first, *_ in seen] == ["child", "cache"]
    for _, backend, torch in seen:
        assert backend.startswith("openvino")
        assert torch == "False"


@pytest.mark.parametrize("kind", [Choosy, Wordy])
def test_a_model_that_cannot_be_compared_keeps_torch_and_loads(kind, cache):
    """Speed is an extra; a model that works must never fail to load for want of it."""
    model = kind()
    prepare_net(model, "auto", streams=1, cache=cache)
    assert model.backend == "torch"
    assert (model.net(batch(2)) == by_torch(2)).all()


def test_a_net_is_traced_with_what_forward_hands_it(cache):
    """Authors may normalise and transpose where they like."""
    model = Turned()
    prepare_net(model, "auto", streams=1, cache=cache)
    assert model.backend.startswith("openvino")


def test_a_net_of_two_outputs_is_told_when_it_runs(cache):
    """The contract says one tensor; the load fails with what is wrong."""
    model = Forked()
    prepare_net(model, "torch", streams=1, cache=cache)
    with pytest.raises(TypeError, match="build_net: the net returns a tuple, not a tensor"):
        model.net(batch(1))


def test_a_way_with_other_outputs_is_passed_over(model):
    """A fast wrong answer is worth nothing; the next one serves."""
    passed = []

    def wrong(module, _example):
        return lambda batch: eager.as_function(module)(batch) + 1

    def broken(_module, _example):
        raise RuntimeError("no such device")

    ways = {"wrong": wrong, "broken": broken, "right": eager.frozen}
    chosen = eager.run_by_torch(model, build_modules(model), ways, lambda *it: passed.append(it))
    assert chosen == model.backend == "right"
    assert [name for name, _ in passed] == ["wrong", "broken"]


def test_a_conversion_that_crashes_costs_its_child_alone(model, tmp_path):
    """Native code that dies of a signal takes down no worker; the next backend serves."""
    crash = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
    prepare_net(
        model,
        "auto",
        streams=1,
        cache=tmp_path,
        convert=lambda work: convert_in_child(work, crash),
    )
    assert model.backend == "torchscript"


def test_a_class_that_no_child_can_import_is_run_by_torch(cache):
    """As one that is made in a function."""

    class Hidden(NetModel):
        pass

    model = Hidden()
    prepare_net(model, "auto", streams=1, cache=cache)
    assert model.backend == "torchscript"


@pytest.mark.parametrize(
    "given",
    [
        [[0.0, 1.1, 0.0]],
        [[float("nan"), 1.0, 0.0]],
        [[0.0, 1.0]],
    ],
)
def test_what_differs_by_more_than_the_tolerance_is_refused(given):
    """A number too far off, one that is none, another shape."""
    with pytest.raises(BackendUnavailable):
        check_outputs(np.array([[0.0, 1.0, 0.0]]), np.array(given))


def test_a_winner_by_a_hair_may_change_and_a_clear_one_may_not():
    """Within the tolerance torch itself is not sure."""
    check_outputs(np.array([[0.50, 0.49]]), np.array([[0.49, 0.50]]))
    with pytest.raises(BackendUnavailable, match="another class"):
        check_outputs(np.array([[10.0, 9.6]]), np.array([[9.75, 9.85]]))


@pytest.mark.parametrize(("family", "backend"), [("auto", "openvino-f32"), ("torchscript",) * 2])
def test_the_nets_of_a_cascade_are_prepared_together(cache, family, backend):
    """Each for any batch, and for any length along the axes in which its examples differ."""
    model = Cascade()
    modules = model.build_nets()
    prepare_net(model, family, streams=2, cache=cache)
    assert model.backend == backend
    random = np.random.default_rng(8)
    for name, shape in (("map", (1, 1, 8, 12)), ("map", (3, 1, 31, 7)), ("small", (5, 1, 8, 8))):
        given = random.random(shape, dtype=np.float32)
        expected = eager.as_function(modules[name])(given)
        assert np.abs(model.nets[name](given) - expected).max() < 1e-4


def test_a_cascade_is_judged_net_by_net(cache):
    """One net that is off costs the backend, and the log says which net it was."""
    model = Cascade()
    passed = []

    def wrong(module, example):
        off = example.shape[-1] == 12
        return lambda batch: eager.as_function(module)(batch) + off

    chosen = eager.run_by_torch(
        model, build_modules(model), {"wrong": wrong}, lambda *it: passed.append(it)
    )
    assert chosen == model.backend == "torch"
    ((name, reason),) = passed
    assert name == "wrong"
    assert reason.startswith("map differs from torch")


def test_a_cascade_without_examples_is_left_alone(cache, monkeypatch):
    """As where other weights are named, which the model runs by itself."""
    model = Cascade()
    monkeypatch.setattr(model, "net_examples", dict)
    assert prepare_net(model, "auto", streams=1, cache=cache) == "model"


def test_models_of_the_same_nets_hold_them_once(cache):
    """Two of them take the memory of one."""
    first, second = Cascade("first"), Cascade("second")
    for model in (first, second):
        prepare_net(model, "openvino", streams=2, cache=cache)
    assert first.nets["map"] is second.nets["map"]
    assert first.nets["map"] is not first.nets["small"]
