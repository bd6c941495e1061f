"""MTCNN as a cascade of three nets: faces and five points of each, in a batch of pictures.

P-Net finds candidates in whole pictures; R-Net and O-Net look at crops of the candidates, those of
all pictures of a batch together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel

from project.models.base import (
    Array,
    BatchModel,
    Box,
    Field,
    Inputs,
    Params,
    Picture,
    Weights,
    package_file,
    picture,
    sent_size,
)
from project.models.face_parts.boxes import moved, squares, without_overlaps
from project.models.face_parts.crops import GREY, crops_of
from project.models.face_parts.pyramid import WINDOW, pyramid_of

R = TypeVar("R", bound=BaseModel | Image.Image)

LABEL = "face"
FACE = 40  # pixels: the height that the smallest face is scaled to
SIDES = 320, 640, 1280  # pixels: longer sides of what is searched; 1280 finds 1/32 of a side
SHAPES = (1, 1), (3, 4), (4, 3)  # height and width, in parts of the longer side
R_SIDE, O_SIDE = 24, 48  # pixels of the crops
CHUNK = 16  # crops in one pass, more are no faster; a smaller rest is filled to a power of two
P_SCORE, R_SCORE, O_SCORE = 0.6, 0.7, 0.1  # least scores; O_SCORE: that may be asked for
MAX_PIXELS = 2**16  # of canvases in one pass of P-Net: one of 640 x 480; more are no faster
PIXELS_PER_CANDIDATE = 2400  # so many candidates go on: 128 of 640 x 480
OVERLAP = 0.7

NETS = ("pnet", "rnet", "onet")
SHA256 = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
MTCNN_WEIGHTS = Weights(
    "mtcnn",
    *(package_file("facenet_pytorch", f"data/{net}.pt", sha256=SHA256[net]) for net in NETS),
)


class Photo(Inputs):
    """One photo."""

    image: Picture = picture(useful_side=SIDES[-1] * 9 // 16)


class Search(Params):
    """Parameters of a search for faces."""

    threshold: float = Field(0.7, ge=O_SCORE, le=1, description="Least score.")
    min_face: int = Field(
        FACE,
        ge=8,
        le=100_000,
        description="Least height of a face, pixels of the photo. Small ones cost time; none below "
        f"{FACE}/{SIDES[-1]} of the photo's longer side is found.",
    )


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one picture, best first, in pixels of what was searched, or of the photo.

    boxes: (n, 4). scores: (n,). points: (n, 5, 2): eyes, nose, corners of the mouth, the left one
    of the picture first; x, y.
    """

    boxes: Array
    scores: Array
    points: Array

    def on_photo(self, image: Image.Image, params: Search) -> "Faces":
        """Those that are good and large enough, in pixels of the photo as it was sent."""
        scale = scale_of(image, params.min_face)
        boxes, points = self.boxes / scale, self.points / scale
        heights = boxes[:, 3] - boxes[:, 1]
        chosen = (self.scores >= params.threshold) & (heights >= params.min_face)
        return Faces(boxes[chosen], self.scores[chosen], points[chosen])

    def as_boxes(self) -> list[Box]:
        """One box for each face."""
        pairs = zip(self.scores, self.boxes, strict=True)
        return [Box.at(LABEL, float(score), corners) for score, corners in pairs]


class FaceCascade(BatchModel[Photo, R, Search]):
    """Searches for faces; what it answers with is up to its subclass."""

    licence = "MIT"
    weights = MTCNN_WEIGHTS
    precisions = ("f32",)  # in bf16 a face of 117 pixels moves by a pixel

    def build_nets(self) -> Mapping[str, Any]:
        """P-Net, R-Net and O-Net, from (n, h, w, 3) uint8."""
        from project.models.nets.mtcnn import ONet, PNet, RNet, load_published

        kinds = (PNet, RNet, ONet)
        return {
            name: load_published(kind(), path)
            for name, kind, path in zip(NETS, kinds, self.weights.paths, strict=True)
        }

    def net_examples(self) -> Mapping[str, Sequence[Array]]:
        """Noise; P-Net takes pictures of any shape."""
        random = np.random.default_rng(7)
        shapes = {
            "pnet": [(2, 96, 192, 3), (1, 144, 128, 3)],
            "rnet": [(8, R_SIDE, R_SIDE, 3)],
            "onet": [(8, O_SIDE, O_SIDE, 3)],
        }
        return {
            name: [random.integers(0, 256, shape, np.uint8) for shape in given]
            for name, given in shapes.items()
        }

    def preprocess(self, inputs: Photo, params: Search) -> Array:
        """Scale the photo, so that the smallest face is of FACE pixels: (h, w, 3) uint8.

        It lies in the upper left corner of the smallest of a few shapes that holds it; few shapes
        make large batches, and a compiled net is prepared for each.
        """
        scale = scale_of(inputs.image, params.min_face)
        size = [max(1, round(side * scale)) for side in sent_size(inputs.image)]
        small = inputs.image.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=2)
        width, height = size
        pixels = np.full((*shape_for(height, width), 3), GREY, np.uint8)
        pixels[:height, :width] = np.asarray(small)
        return pixels

    def forward(self, batch: Array) -> Sequence[Faces]:
        """batch: (n, h, w, 3) uint8. Returns the faces of each picture, with O_SCORE or more."""
        candidates = self._propose(batch)
        candidates = self._refine(batch, candidates)
        return self._locate(batch, candidates)

    def _propose(self, batch: Array) -> list[Array]:
        """For each picture the candidates (n, 4) that P-Net sees."""
        _, height, width, _ = batch.shape
        pyramid = pyramid_of(height, width, WINDOW / FACE)
        together = max(1, MAX_PIXELS // (pyramid.height * pyramid.width))
        maps = [
            self.nets["pnet"](np.stack([pyramid.canvas_of(picture) for picture in part]))
            for part in np.split(batch, range(together, len(batch), together))
        ]
        windows, most = pyramid.windows, height * width // PIXELS_PER_CANDIDATE
        found = []
        for rows in np.concatenate(maps).reshape(len(batch), 5, -1):
            scores = rows[0, windows.cells]
            likely = np.flatnonzero(scores >= P_SCORE)
            likely = likely[np.argsort(-scores[likely], kind="stable")[: 4 * most]]
            boxes = windows.boxes[likely]
            kept = without_overlaps(boxes, scores[likely], 0.5)[:most]
            offsets = rows[1:, windows.cells[likely[kept]]].T
            found.append(squares(moved(boxes[kept], offsets)))
        return found

    def _refine(self, batch: Array, candidates: list[Array]) -> list[Array]:
        """For each picture the candidates (n, 4) that R-Net takes for faces."""
        found = []
        for boxes, seen in self._look(self.nets["rnet"], batch, candidates, R_SIDE, R_SCORE):
            kept = without_overlaps(boxes, seen[:, 0], OVERLAP)
            found.append(squares(moved(boxes[kept], seen[kept, 1:5])))
        return found

    def _locate(self, batch: Array, candidates: list[Array]) -> list[Faces]:
        """For each picture the faces that O-Net sees."""
        found = []
        for crops, seen in self._look(self.nets["onet"], batch, candidates, O_SIDE, O_SCORE):
            boxes = moved(crops, seen[:, 1:5])
            kept = without_overlaps(boxes, seen[:, 0], OVERLAP, of_smaller=True)
            sides = crops[kept, 2:] - crops[kept, :2]
            shares = seen[kept, 5:].reshape(-1, 2, 5).transpose(0, 2, 1)
            points = crops[kept, None, :2] + shares * sides[:, None]
            found.append(Faces(boxes[kept], seen[kept, 0], points))
        return found

    def _look(
        self,
        net: Callable[[Array], Array],
        batch: Array,
        boxes: list[Array],
        side: int,
        least: float,
    ) -> list[tuple[Array, Array]]:
        """For each picture the boxes (n, 4) whose score is high enough, and the net's output."""
        crops = [crops_of(*pair, side) for pair in zip(batch, boxes, strict=True)]
        ends = np.cumsum([len(it) for it in boxes])[:-1]
        outputs = np.split(in_chunks(net, np.concatenate(crops)), ends)
        good = [seen[:, 0] >= least for seen in outputs]
        return [
            (ours[mask], seen[mask]) for ours, seen, mask in zip(boxes, outputs, good, strict=True)
        ]


def in_chunks(net: Callable[[Array], Array], crops: Array) -> Array:
    """Run a net for any number of crops, in few batch sizes. Returns (n, outputs)."""
    found = []
    for start in range(0, len(crops), CHUNK):
        chunk = crops[start : start + CHUNK]
        filled = np.zeros((1 << (len(chunk) - 1).bit_length(), *crops.shape[1:]), crops.dtype)
        filled[: len(chunk)] = chunk
        found.append(net(filled)[: len(chunk)])
    return np.concatenate(found) if found else np.zeros((0, 15), np.float32)


def scale_of(image: Image.Image, min_face: int) -> float:
    """What a photo is scaled by before it is searched. min_face: pixels of the photo as sent."""
    return min(FACE / min_face, SIDES[-1] / max(sent_size(image)))


def shape_for(height: int, width: int) -> tuple[int, int]:
    """The smallest shape (height, width) that holds a picture."""
    shapes = [
        (side * tall // max(tall, wide), side * wide // max(tall, wide))
        for side in SIDES
        for tall, wide in SHAPES
    ]
    return min((it for it in shapes if it[0] >= height and it[1] >= width), key=np.prod)
