"""detection with DETECTION_WEIGHTS: the classes of a Hugging Face detector."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from project.errors import ConfigurationError
from project.inference.backends.selection import prepare_net
from project.models import create
from project.models.base.inputs import SENT_SIZE
from project.settings import Settings
from tests.models.nets import predicted

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

NAMES = {0: "N/A", 1: "cat", 2: "dog"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A YOLOS of a few random weights, saved as a user would have; it is sure of every cat."""
    from transformers import (  # noqa: PLC0415 - takes seconds, for these tests alone
        YolosConfig,
        YolosForObjectDetection,
        YolosImageProcessorPil,
    )

    torch.manual_seed(0)
    config = YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 96],
        num_detection_tokens=3,
        id2label=NAMES,
        label2id={name: number for number, name in NAMES.items()},
    )
    net = YolosForObjectDetection(config)
    with torch.no_grad():
        last = net.class_labels_classifier.layers[-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 3.0, 0.0, 0.0]))
    path = tmp_path_factory.mktemp("detector") / "tiny-yolos"
    net.save_pretrained(path)
    YolosImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(path)
    return path


def loaded(source, **others):
    settings = Settings(_env_file=None, detection_weights=str(source))
    (model,) = create(["detection"], settings.weights_by_model | others)
    model.load()
    return model


@pytest.fixture(scope="module")
def model(folder, cache):
    model = loaded(folder)
    assert prepare_net(model, "auto", streams=1, cache=cache) == "model"
    return model


def test_it_says_what_it_is(model):
    """The names of its classes, its weights, and that its licence is on its card."""
    assert model.labels == tuple(NAMES.values())
    assert (model.backend, model.weights.name) == ("transformers", "tiny-yolos")
    assert model.licence == "NOASSERTION"


def test_boxes_have_its_classes_and_pixels_of_the_photo(model):
    """Scores, and where each object is, whether the photo comes as sent or reduced."""
    photo = Image.new("RGB", (120, 80), "grey")
    boxes = predicted(model, photo).boxes
    assert [box.label for box in boxes] == ["cat"] * 3
    for box in boxes:
        assert box.score == pytest.approx(0.87, abs=0.01)
        assert -60 <= box.x1 < box.x2 <= 180
    reduced = photo.copy()
    reduced.info[SENT_SIZE] = (2400, 1600)
    for small, large in zip(boxes, predicted(model, reduced).boxes, strict=True):
        assert large.x1 / 20 == pytest.approx(small.x1, abs=3)
        assert large.y2 / 20 == pytest.approx(small.y2, abs=3)


def test_the_threshold_holds_for_it_too(model):
    """It is 0.87 sure."""
    assert predicted(model, Image.new("RGB", (120, 80)), threshold=0.9).boxes == []


def test_it_answers_batches(model):
    """Pictures of one shape go through it together."""
    pictures = np.random.default_rng(1).integers(0, 256, (3, 60, 90, 3), dtype=np.uint8)
    assert [len(found.boxes) for found in model.forward(pictures)] == [3, 3, 3]


def test_a_folder_that_is_not_there_is_named():
    """The operator corrects the path; the hub is not asked for it."""
    with pytest.raises(ConfigurationError, match=r"there is no folder \./nowhere"):
        loaded("./nowhere")


@pytest.mark.parametrize("damage", ["model.safetensors", "config.json"])
def test_a_damaged_folder_is_named(folder, tmp_path, damage):
    """Without weights or without a description it loads nothing."""
    for file in folder.iterdir():
        if file.name != damage:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigurationError, match=r"DETECTION_WEIGHTS: cannot load .* as a"):
        loaded(tmp_path)


def test_missing_packages_are_named(folder, monkeypatch):
    """What it needs is not in requirements.txt."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigurationError, match=r"-r requirements-detection\.txt"):
        loaded(folder)
