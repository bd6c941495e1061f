"""detection and keypoints: MTCNN as it is served, on photos whose faces are known."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from project.inference.backends.selection import prepare_net
from project.models import create
from project.models.base import BatchModel, sent_size
from project.models.base.inputs import SENT_SIZE
from project.models.face_parts.cascade import Photo, Search
from tests.models.nets import predicted

ASTRONAUT = {  # pixels of scikit-image's photo of Eileen Collins, read off it by eye
    "left_eye": (204, 101),
    "right_eye": (248, 102),
    "nose": (226, 129),
    "left_mouth": (202, 141),
    "right_mouth": (245, 143),
}
PIXELS = 6  # that two people differ by


@pytest.fixture(scope="module", params=["detection", "keypoints"])
def model(request, cache):
    """Each of the two as a worker serves it."""
    return served(request.param, cache)


@pytest.fixture(scope="module")
def keypoints(cache):
    return served("keypoints", cache)


@pytest.fixture(scope="module")
def astronaut():
    skimage = pytest.importorskip("skimage.data")
    return Image.fromarray(skimage.astronaut())


def served(name, cache):
    (model,) = create([name])
    assert isinstance(model, BatchModel)
    model.load()
    prepare_net(model, "auto", streams=2, cache=cache)
    assert model.backend == "openvino-f32"
    return model


def test_the_astronaut_has_one_face(model, astronaut):
    """Boxes are in pixels of the photo as it was sent; the shuttle behind her is no face."""
    (box,) = predicted(model, astronaut).boxes
    assert box.label == "face"
    assert box.score > 0.9
    assert 170 < box.x1 < 195
    assert 45 < box.y1 < 80
    assert 255 < box.x2 < 285
    assert 160 < box.y2 < 190


def test_the_points_of_the_astronaut_are_where_a_person_sees_them(keypoints, astronaut):
    """Eyes, nose, mouth; the nose also as shares of the sides."""
    result = predicted(keypoints, astronaut)
    assert [point.label for point in result.points] == list(ASTRONAUT)
    for point in result.points:
        x, y = ASTRONAUT[point.label]
        assert np.hypot(point.x - x, point.y - y) < PIXELS
        assert point.box == 0
    nose = result.points[2]
    assert (result.nose.x, result.nose.y) == pytest.approx((nose.x / 512, nose.y / 512), abs=1e-3)


@pytest.mark.parametrize("min_face", [10, 12, 13, 15])
def test_a_hundred_faces_are_found_and_no_other(model, min_face):
    """A hundred faces of 25 pixels, cut close, and a hundred pieces of other photos."""
    skimage = pytest.importorskip("skimage.data")
    greys = [Image.fromarray(it) for it in (skimage.lfw_subset() * 255).round().astype(np.uint8)]
    found = [len(predicted(model, it.convert("RGB"), min_face=min_face).boxes) for it in greys]
    assert found == [1] * 100 + [0] * 100


def test_a_photo_of_many_pixels_gives_boxes_in_its_own(model, astronaut):
    """Whether it comes as sent, or reduced by the decoder."""
    large = astronaut.resize((2048, 2048), Image.Resampling.BICUBIC)
    reduced = astronaut.copy()
    reduced.info[SENT_SIZE] = (2048, 2048)
    for photo in (large, reduced):
        (box,) = predicted(model, photo).boxes
        assert sent_size(photo) == (2048, 2048)
        assert 4 * 170 < box.x1 < 4 * 195
        assert 4 * 160 < box.y2 < 4 * 190


def test_several_faces_of_several_sizes(keypoints, astronaut):
    """The best first; every point names the box that it lies in."""
    scene = Image.new("RGB", (640, 480), (90, 120, 90))
    face = astronaut.crop((130, 20, 330, 220))
    for x, y, side in ((20, 40, 220), (300, 60, 120), (480, 300, 150)):
        scene.paste(face.resize((side, side)), (x, y))
    result = predicted(keypoints, scene)
    assert len(result.boxes) == 3
    scores = [box.score for box in result.boxes]
    assert scores == sorted(scores, reverse=True)
    for point in result.points:
        box = result.boxes[point.box]
        assert box.x1 < point.x < box.x2
        assert box.y1 < point.y < box.y2


def test_min_face_is_a_height_on_the_photo(model, astronaut):
    """Her face is 116 pixels high."""
    (box,) = predicted(model, astronaut).boxes
    height = box.y2 - box.y1
    assert len(predicted(model, astronaut, min_face=round(height) - 15).boxes) == 1
    assert len(predicted(model, astronaut, min_face=round(height) + 15).boxes) == 0


def test_small_faces_are_found_where_they_are_asked_for(model, astronaut):
    """A face of 23 pixels is below the default and above 20."""
    small = Image.new("RGB", (640, 480), (90, 120, 90))
    small.paste(astronaut.resize((100, 100), Image.Resampling.LANCZOS), (300, 200))
    assert predicted(model, small).boxes == []
    (box,) = predicted(model, small, min_face=20).boxes
    assert 300 + 30 < box.x1 < box.x2 < 300 + 60


def test_the_threshold_is_a_bound_of_the_score(model, astronaut):
    """1 is a score that no face has."""
    assert predicted(model, astronaut, threshold=1).boxes == []
    for box in predicted(model, astronaut, threshold=0.1).boxes:
        assert box.score >= 0.1


def test_pictures_in_a_batch_are_answered_as_alone(model, astronaut):
    """With and without faces, in any order; the crops of all go through the nets together."""
    pictures = [astronaut, Image.new("RGB", (512, 512), "grey"), astronaut.rotate(5)]
    inputs, params = [Photo(image=it) for it in pictures], Search()
    batch = np.stack([model.preprocess(it, params) for it in inputs])
    outputs = model.forward(batch)
    results = [
        model.postprocess(output, it, params) for output, it in zip(outputs, inputs, strict=True)
    ]
    assert [len(it.boxes) for it in results] == [1, 0, 1]
    alone = [predicted(model, it) for it in pictures]
    for together, one in zip(results, alone, strict=True):
        for ours, theirs in zip(together.boxes, one.boxes, strict=True):
            assert ours.x1 == pytest.approx(theirs.x1, abs=0.5)
            assert ours.score == pytest.approx(theirs.score, abs=1e-3)


@pytest.mark.parametrize("size", [(8, 8), (8, 4000), (3000, 9), (1280, 720), (719, 1281)])
@pytest.mark.parametrize("min_face", [8, 40, 4000])
def test_any_size_of_photo_is_searched(model, size, min_face):
    """The smallest that is accepted, stripes, and ones that are larger than what is searched."""
    assert predicted(model, Image.new("RGB", size, "grey"), min_face=min_face).boxes == []


def test_noise_is_bounded_and_is_no_face(model):
    """A picture made to have many candidates costs what is allowed."""
    noise = np.random.default_rng(3).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert predicted(model, Image.fromarray(noise)).boxes == []


def test_a_result_is_drawn(keypoints, astronaut):
    """For `Accept: image/png`: the photo, with a box and points on it."""
    photo = Photo(image=astronaut)
    drawing = keypoints.draw(photo, predicted(keypoints, astronaut))
    changed = np.any(np.asarray(drawing) != np.asarray(astronaut), axis=2)
    assert drawing.size == astronaut.size
    assert 200 < changed.sum() < changed.size / 10
    x, y = ASTRONAUT["nose"]
    assert changed[y - 4 : y + 4, x - 4 : x + 4].any()


def test_a_result_is_json(keypoints, astronaut):
    """As a client reads it."""
    result = json.load(io.StringIO(predicted(keypoints, astronaut).model_dump_json()))
    assert set(result) == {"boxes", "points", "nose"}
    assert keypoints.top_prediction(predicted(keypoints, astronaut))[0] == "face"
