"""Backends: a faster one serves only where its outputs equal torch's, and takes nothing down."""

import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from project.errors import BackendUnavailable, InvalidInput
from project.inference.backends import openvino
from project.inference.backends.openvino import convert_in_child
from project.inference.backends.selection import accelerate, backend_candidates, check_outputs
from tests.models.nets import NetModel, batch
from tests.samples import sample

FAMILIES = ["openvino", "torchscript"]


def failures(name: str) -> float:
    return sample("model_backend_failures_total", model="shade", backend=name)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_faster_backend_gives_what_torch_gives_for_any_batch(model, cache, family, count):
    """Same winner, and differences that no one would notice."""
    expected = model.forward(batch(count))
    accelerate(model, family, streams=2, cache=cache)
    assert model.backend.startswith(family)
    given = model.forward(batch(count))
    assert np.abs(given - expected).max() < 0.02
    assert (given.argmax(1) == expected.argmax(1)).all()


def test_the_fastest_that_there_is_is_chosen(model, cache):
    """OpenVINO, in the precision that this processor is best at."""
    accelerate(model, "auto", streams=1, cache=cache)
    assert model.backend == f"openvino-{openvino.precisions()[0]}"


def test_torch_is_left_alone_where_it_is_asked_for_or_there_is_no_net(model, cache, shade):
    """A model may do its work without a torch module."""
    net = model.net
    accelerate(model, "torch", streams=1, cache=cache)
    accelerate(shade, "auto", streams=1, cache=cache)
    assert model.net is net
    assert model.backend == shade.backend == "torch"


class Choosy(NetModel):
    """Refuses drawn pictures."""

    def preprocess(self, image: Any, params: Any) -> Any:
        raise InvalidInput("no face in this picture")


class Wordy(NetModel):
    """Gives dictionaries where others give rows of numbers."""

    def forward(self, batch: Any) -> Any:
        return [{"scores": row} for row in super().forward(batch)]


class Paired(NetModel):
    """Calls its net with two tensors."""

    def load(self) -> None:
        super().load()
        self.net = nn.Bilinear(1, 1, 1)

    def forward(self, batch: Any) -> Any:
        column = torch.from_numpy(batch).mean(dim=(1, 2, 3))[:, None]
        with torch.inference_mode():
            return self.net(column, column).numpy()


@pytest.mark.parametrize("kind", [Choosy, Wordy, Paired])
def test_a_model_that_cannot_be_compared_keeps_torch_and_loads(kind, cache):
    """Speed is an extra; a model that works must never fail to load for want of it."""
    model = kind()
    model.load()
    net = model.net
    accelerate(model, "auto", streams=1, cache=cache)
    assert model.net is net
    assert model.backend == "torch"


class Turned(NetModel):
    """Hands its net another layout than preprocess gave."""

    def preprocess(self, image: Any, params: Any) -> Any:
        return super().preprocess(image, params).transpose(1, 2, 0)  # (8, 8, 1)

    def forward(self, batch: Any) -> Any:
        return super().forward(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))


def test_a_net_is_traced_with_what_forward_hands_it(cache):
    """Authors may normalise and transpose where they like."""
    model = Turned()
    model.load()
    accelerate(model, "auto", streams=1, cache=cache)
    assert model.backend.startswith("openvino")


def test_a_backend_with_other_outputs_is_passed_over_and_counted(model, cache):
    """A fast wrong answer is worth nothing; the next candidate serves."""
    net, before = model.net, failures("wrong")
    candidates = [("wrong", lambda: lambda x: net(x) + 1), ("right", lambda: net)]
    accelerate(model, "auto", streams=1, cache=cache, candidates=lambda *_: candidates)
    assert model.backend == "right"
    assert failures("wrong") == before + 1


def test_torch_serves_where_no_candidate_may(model, cache):
    """The module stays as it was."""
    net = model.net

    def crash() -> Any:
        raise RuntimeError("no such device")

    accelerate(model, "auto", streams=1, cache=cache, candidates=lambda *_: [("broken", crash)])
    assert model.net is net
    assert model.backend == "torch"


def test_a_conversion_that_crashes_costs_its_child_alone(model, tmp_path):
    """Native code that dies of a signal takes down no worker; the next backend serves."""
    names = [f"openvino-{name}" for name in openvino.precisions()]
    before = sum(map(failures, names))
    crash = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
    crashing = partial(backend_candidates, convert=lambda work: convert_in_child(work, crash))
    accelerate(model, "auto", streams=1, cache=tmp_path, candidates=crashing)
    assert model.backend == "torchscript"
    assert sum(map(failures, names)) == before + len(names)


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
