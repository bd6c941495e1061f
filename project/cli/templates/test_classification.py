"""my_model: what a client gets from the API."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.models import create
from tests.conftest import make_settings, picture

NAME = "my_model"
PATH = f"/v1/models/{NAME}/predictions"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The API with this model alone; its net runs in torch, which starts sooner."""
    settings = make_settings(inference_backend="torch")
    with TestClient(create_app(settings, create([NAME]))) as client:
        yield client


@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_a_picture_of_one_colour_is_called_by_its_name(client, colour):
    """The best class comes first, and the probabilities add up to one."""
    answer = client.post(PATH, files={"image": picture(colour=colour)})
    assert answer.status_code == 200, answer.text
    classes = answer.json()["classes"]
    assert classes[0]["label"] == colour
    assert sum(item["probability"] for item in classes) == pytest.approx(1, abs=1e-5)


def test_as_many_classes_come_as_were_asked_for(client):
    """And a number out of bounds is refused by its name."""
    answer = client.post(f"{PATH}?top_k=1", files={"image": picture()})
    assert len(answer.json()["classes"]) == 1
    answer = client.post(f"{PATH}?top_k=4", files={"image": picture()})
    assert answer.status_code == 422
    assert "top_k" in answer.json()["errors"]
