"""The features that drift is measured by: of the first picture, the first text, the prediction."""

import numpy as np
from PIL import Image

from project.models.base import Inputs, TopPrediction, sent_size
from project.models.base.inputs import pictures_of, texts_of

SIDE = 64  # 4,096 sampled pixels describe a picture well, and cost 0.03 ms whatever its size

Features = dict[str, float | str]


def measure(inputs: Inputs) -> dict[str, float]:
    """Feature → value of a model's inputs; none for inputs that are not there."""
    kind = type(inputs)
    measured: dict[str, float] = {}
    for name in pictures_of(kind)[:1]:
        if (picture := getattr(inputs, name)) is not None:
            measured |= measure_picture(picture)
    for name in texts_of(kind)[:1]:
        if (text := getattr(inputs, name)) is not None:
            measured |= measure_text(text)
    return measured


def measure_picture(image: Image.Image) -> dict[str, float]:
    """brightness, contrast: mean and standard deviation of luma, 0 to 255. pixels: as sent."""
    sample = image.resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("L")
    luma = np.asarray(sample)  # (SIDE, SIDE) uint8, ITU-R 601-2
    width, height = sent_size(image)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "pixels": width * height,
    }


def measure_text(text: str) -> dict[str, float]:
    """length: characters. non_ascii: the share of those outside ASCII."""
    length = len(text)
    ascii_length = len(text.encode("ascii", "ignore"))
    return {"length": length, "non_ascii": (length - ascii_length) / max(1, length)}


def features_of(measured: dict[str, float], top_prediction: TopPrediction | None) -> Features:
    """Feature → value of one prediction."""
    features: Features = dict(measured)
    if top_prediction is not None:
        label, confidence = top_prediction
        features["label"] = label
        if confidence is not None:
            features["confidence"] = confidence
    return features
