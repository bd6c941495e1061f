"""my_model: what a client gets from the API."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.models import create
from tests.conftest import make_settings

NAME = "my_model"
PATH = f"/v1/models/{NAME}/predictions"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The API with this model alone."""
    with TestClient(create_app(make_settings(), create([NAME]))) as client:
        yield client


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("Thank you, a good day!", "friendly", "thank"),
        ("That was an awful, bad idea.", "unfriendly", "awful"),
    ],
)
def test_a_text_has_its_label_and_the_heaviest_reason_first(client, text, label, reason):
    """Sent as a form; JSON and plain text are answered the same."""
    answer = client.post(PATH, data={"text": text})
    assert answer.status_code == 200, answer.text
    assert answer.json()["label"] == label
    assert answer.json()["reasons"][0]["text"] == reason
    assert client.post(PATH, json={"text": text}).json() == answer.json()
    plain = client.post(PATH, content=text, headers={"content-type": "text/plain"})
    assert plain.json() == answer.json()


def test_a_text_that_is_too_long_is_refused(client):
    """By its name."""
    answer = client.post(PATH, json={"text": "a" * 10_001})
    assert answer.status_code == 422
    assert "text" in answer.json()["errors"]
