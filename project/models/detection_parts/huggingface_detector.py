"""Runs any object detector of transformers, from a folder or the Hugging Face hub."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from project.errors import ConfigurationError
from project.models.base import Array
from project.models.base.weights import folder_or_name

SETTING = "DETECTION_WEIGHTS"
REQUIREMENTS = "requirements-detection.txt"


@dataclass(frozen=True, slots=True)
class Objects:
    """What is found in one picture. boxes: (n, 4) pixels. scores, labels: (n,), the best first."""

    boxes: Array
    scores: Array
    labels: Sequence[str]


class HuggingFaceDetector:
    """A detector, and the processor that prepares its pictures."""

    def __init__(self, net: Any, processor: Any, name: str) -> None:
        self.name = name
        self._net = net.eval()
        self._processor = processor
        names = net.config.id2label
        self.labels = tuple(str(names[number]) for number in sorted(names))
        self._names = {int(number): str(name) for number, name in names.items()}

    def __call__(self, batch: Array, least: float) -> list[Objects]:
        """Find objects. batch: (n, h, w, 3) uint8. least: score of what is returned."""
        given = self._processor(images=list(batch), return_tensors="pt").to(self._net.device)
        with torch.inference_mode():
            outputs = self._net(**given)
        found = self._processor.post_process_object_detection(
            outputs, threshold=least, target_sizes=[batch.shape[1:3]] * len(batch)
        )
        return [self._objects(it) for it in found]

    def _objects(self, found: dict[str, torch.Tensor]) -> Objects:
        scores = found["scores"].float().cpu().numpy()
        order = np.argsort(-scores, kind="stable")
        numbers = found["labels"].cpu().numpy()[order].tolist()
        boxes = found["boxes"].float().cpu().numpy()[order]
        return Objects(boxes, scores[order], [self._names[it] for it in numbers])


def load_detector(source: str) -> HuggingFaceDetector:
    """Load the detector of a folder or of the hub; weights as safetensors, no code of its own.

    Raises ConfigurationError where it cannot be loaded or does not detect objects.
    """
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ConfigurationError(
            f"{SETTING} needs packages that are not installed: pip install -r {REQUIREMENTS}"
        ) from error
    path = folder_or_name(source, SETTING)
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(path, trust_remote_code=False)
        net = transformers.AutoModelForObjectDetection.from_pretrained(
            path,
            use_safetensors=True,  # a pickle could run code
            trust_remote_code=False,
        )
    except Exception as error:  # a damaged folder, another kind of net, a hub that does not answer
        raise ConfigurationError(
            f"{SETTING}: cannot load {source} as a detector: {type(error).__name__}: {error}"
        ) from error
    gpu = torch.cuda.is_available()
    return HuggingFaceDetector(net.to("cuda") if gpu else net, processor, Path(source).name)
