"""keypoints: eyes, nose and corners of the mouth of every face in a picture."""

from collections.abc import Sequence

from pydantic import BaseModel

from project.models.base import Boxes, Field, Point, Points, sent_size
from project.models.face_parts.cascade import LABEL, FaceCascade, Faces, Photo, Search

NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")  # left: in the picture
NOSE = NAMES.index("nose")


class Relative(BaseModel):
    """A point, as shares of the picture's sides, from its upper left corner."""

    x: float = Field(description="0 to 1 from the left edge; beyond where the face is cut off.")
    y: float = Field(description="0 to 1 from the upper edge.")


class FacePoints(Points, Boxes):
    """Five points of each face, and its box."""

    nose: Relative | None = Field(None, description="Of the best face; null where there is none.")


class Keypoints(FaceCascade[FacePoints]):
    """MTCNN's points, as its O-Net gives them."""

    version = "1.0.0"
    summary = "Eyes, nose and corners of the mouth of every face in a picture."
    labels: Sequence[str] = (LABEL,)

    def postprocess(self, output: Faces, inputs: Photo, params: Search) -> FacePoints:
        """output: the faces of what was searched."""
        faces = output.on_photo(inputs.image, params)
        points = [
            Point(label=name, x=round(x, 2), y=round(y, 2), box=face)
            for face, places in enumerate(faces.points.tolist())
            for name, (x, y) in zip(NAMES, places, strict=True)
        ]
        return FacePoints(boxes=faces.as_boxes(), points=points, nose=self._nose(faces, inputs))

    def _nose(self, faces: Faces, inputs: Photo) -> Relative | None:
        if not len(faces.points):
            return None
        width, height = sent_size(inputs.image)
        x, y = faces.points[0, NOSE].tolist()
        return Relative(x=round(x / width, 4), y=round(y / height, 4))
