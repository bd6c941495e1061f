"""finder: a box around the picture, called like its shade."""

from collections.abc import Sequence

import numpy as np

from project.models.base import (
    NO_WEIGHTS,
    Array,
    BatchModel,
    Box,
    Boxes,
    ImageInput,
    NoParams,
    sent_size,
)


class Finder(BatchModel[ImageInput, Boxes]):
    """One box, none for a grey picture."""

    version, licence, summary = "1.0.0", "MIT", "What is light and what is dark."
    weights, labels, backend = NO_WEIGHTS, ("light", "dark", "white, very light"), "numpy"

    def preprocess(self, inputs: ImageInput, params: NoParams) -> Array:
        return np.asarray(inputs.image.convert("L").resize((8, 8)), dtype=np.float32)

    def forward(self, batch: Array) -> Sequence[float]:
        return batch.mean(axis=(1, 2)).tolist()

    def postprocess(self, output: float, inputs: ImageInput, params: NoParams) -> Boxes:
        if 120 <= output <= 136:
            return Boxes(boxes=[])
        width, height = sent_size(inputs.image)
        label = "light" if output > 128 else "dark"
        label = "white, very light" if output > 250 else label
        score = abs(output - 128) / 128
        return Boxes(boxes=[Box.at(label, score, (2, 2, width - 2, height - 2))])
