"""detection: where faces are in a picture, or the objects of a detector of your own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from project.models.base import Array, Box, Boxes, Weights, sent_size
from project.models.face_parts.cascade import (
    LABEL,
    O_SCORE,
    SIDES,
    FaceCascade,
    Faces,
    Photo,
    Search,
)


class Detection(FaceCascade[Boxes]):
    """MTCNN's boxes and scores, or those of the Hugging Face detector that `source` names."""

    version = "1.0.0"
    summary = "Where faces are in a picture; or the objects of a detector of your own."
    labels: Sequence[str] = (LABEL,)

    def load(self) -> None:
        """Load the detector, if one is named; MTCNN's nets are compiled."""
        if self.source is not None:
            from project.models.detection_parts.huggingface_detector import load_detector

            self._detector = load_detector(self.source)
            self.backend, self.weights = "transformers", Weights(self._detector.name)
            self.labels, self.licence = self._detector.labels, "NOASSERTION"  # its card says

    def net_examples(self) -> Mapping[str, Sequence[Array]]:
        """As the cascade; none where a detector does the work."""
        return super().net_examples() if self.source is None else {}

    def preprocess(self, inputs: Photo, params: Search) -> Array:
        """Returns (h, w, 3) uint8: as the cascade, or the photo, its longer side bounded."""
        if self.source is None:
            return super().preprocess(inputs, params)
        width, height = sent_size(inputs.image)
        scale = bounded_side(inputs.image) / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return np.asarray(inputs.image.resize(size, Image.Resampling.BILINEAR))

    def forward(self, batch: Array) -> Sequence[Any]:
        """batch: (n, h, w, 3) uint8. Returns n Faces or n Objects."""
        return super().forward(batch) if self.source is None else self._detector(batch, O_SCORE)

    def postprocess(self, output: Any, inputs: Photo, params: Search) -> Boxes:
        """output: Faces or Objects of what was searched. min_face is for faces alone."""
        if isinstance(output, Faces):
            return Boxes(boxes=output.on_photo(inputs.image, params).as_boxes())
        found = zip(output.labels, output.scores, output.boxes, strict=True)
        to_photo = max(sent_size(inputs.image)) / bounded_side(inputs.image)
        return Boxes(
            boxes=[
                Box.at(label, score, corners * to_photo)
                for label, score, corners in found
                if score >= params.threshold
            ]
        )


def bounded_side(image: Image.Image) -> int:
    """The longer side of what a detector is handed, pixels."""
    return min(SIDES[-1], max(sent_size(image)))
