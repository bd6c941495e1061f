"""my_model: what a client gets from the API."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.models import create
from tests.conftest import make_settings, picture

NAME = "my_model"
PATH = f"/v1/models/{NAME}/predictions"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The API with this model alone."""
    with TestClient(create_app(make_settings(), create([NAME]))) as client:
        yield client


@pytest.mark.parametrize(("share", "grey"), [(0, 255), (0.5, 127), (1, 0)])
def test_a_white_picture_fades_into_a_black_one(client, share, grey):
    """The answer is a picture of the first one's size."""
    files = {"first": picture(size=(40, 30)), "second": picture(colour="black")}
    answer = client.post(PATH, files=files, data={"share": share})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as made:
        assert made.size == (40, 30)
        assert made.getpixel((0, 0)) == pytest.approx((grey, grey, grey), abs=1)


def test_pictures_that_do_not_fit_are_refused_with_advice(client):
    """As is a request that lacks one."""
    files = {"first": picture(size=(90, 10)), "second": picture()}
    answer = client.post(PATH, files=files)
    assert answer.status_code == 422
    assert "ratio" in answer.json()["detail"]
    assert client.post(PATH, files={"first": picture()}).status_code == 422
