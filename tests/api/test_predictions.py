"""Predictions as people ask for them: real photos with real weights, three ways in, parameters."""

import base64
import io
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests import corpus
from tests.photos import photo

PATH = "/v1/models/classification/predictions"
PNG = {"Content-Type": "image/png"}


def labels(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["label"] for item in answer.json()["classes"]]


@pytest.mark.parametrize(
    ("name", "wanted", "among"),
    [
        ("chelsea", ("cat",), 1),
        ("coffee", ("espresso", "cup"), 1),
        ("rocket", ("missile", "projectile"), 3),
        ("china", ("palace",), 1),
        ("flower", ("daisy",), 1),
    ],
)
def test_the_net_sees_what_a_person_sees(real_client, name, wanted, among):
    """The weights, the class names and the preprocessing fit each other."""
    path = photo(name)
    with path.open("rb") as file:
        found = labels(real_client.post(PATH, files={"image": file}))
    assert any(word in label.lower() for word in wanted for label in found[:among]), found


def test_all_ways_in_give_the_same_answer_byte_for_byte(real_client):
    """How an image travels changes nothing."""
    data = photo("chelsea").read_bytes()
    plain = base64.b64encode(data).decode()
    wrapped = base64.encodebytes(data).decode()
    answers = [
        real_client.post(PATH, files={"image": ("cat.png", data, "image/png")}),
        real_client.post(PATH, files={"image": ("x", data)}),
        real_client.post(PATH, content=data, headers=PNG),
        real_client.post(PATH, content=data, headers={"Content-Type": "IMAGE/PNG; q=1"}),
        real_client.post(PATH, content=data, headers={"Content-Type": "image/jpeg"}),
        real_client.post(PATH, content=data, headers={"Content-Type": "application/octet-stream"}),
        real_client.post(PATH, json={"image": plain}),
        real_client.post(PATH, json={"image": wrapped}),
        real_client.post(PATH, json={"image": f"data:image/png;base64,{plain}"}),
        real_client.post(PATH, json={"image": f"data:image/png;base64,{wrapped}"}),
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert len({answer.content for answer in answers}) == 1


def test_an_answer_is_what_its_schema_says(real_client):
    """Five classes, best first, of numbers and names; and the time of every stage."""
    answer = real_client.post(PATH, content=photo("flower").read_bytes(), headers=PNG)
    classes = answer.json()["classes"]
    probabilities = [item["probability"] for item in classes]
    assert len(classes) == 5
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 1
    assert len({item["index"] for item in classes}) == 5
    for stage in ("queue", "decode", "preprocess", "forward", "postprocess"):
        assert f"{stage};dur=" in answer.headers["Server-Timing"]


def test_top_k_stands_in_the_query_the_form_or_the_json(real_client):
    """Wherever it stands it counts, up to its bounds; what the body says wins."""
    data = photo("coffee").read_bytes()
    text = base64.b64encode(data).decode()
    image = {"image": data}
    assert len(labels(real_client.post(PATH, params={"top_k": 3}, files=image))) == 3
    assert len(labels(real_client.post(PATH, data={"top_k": "3"}, files=image))) == 3
    assert len(labels(real_client.post(PATH, json={"image": text, "top_k": 3}))) == 3
    assert len(labels(real_client.post(f"{PATH}?top_k=100", content=data, headers=PNG))) == 100
    assert len(labels(real_client.post(f"{PATH}?top_k=9", data={"top_k": "2"}, files=image))) == 2
    assert len(labels(real_client.post(f"{PATH}?top_k=9", json={"image": text, "top_k": 1}))) == 1


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"top_k": "0"}, {"top_k"}),
        ({"top_k": "101"}, {"top_k"}),
        ({"top_k": "many"}, {"top_k"}),
        ({"topk": "5"}, {"topk"}),
        ({"top_k": "0", "colour": "red", "": "x"}, {"top_k", "colour", ""}),
    ],
)
def test_wrong_parameters_are_each_named_whichever_way_they_came(real_client, parameters, named):
    """One answer tells all that is to be corrected."""
    data = corpus.in_every_format()["png"]
    text = base64.b64encode(data).decode()
    for answer in (
        real_client.post(PATH, params=parameters, content=data, headers=PNG),
        real_client.post(PATH, data=parameters, files={"image": data}),
        real_client.post(PATH, json={"image": text, **parameters}),
    ):
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()["errors"]) == named
        assert "there are: top_k" in answer.json()["detail"]


def test_a_parameter_of_the_query_is_valid_though_the_body_overrides_it(client):
    """What is sent is either valid or named, wherever it stands."""
    data = corpus.in_every_format()["png"]
    path, text = "/v1/models/shade/predictions", base64.b64encode(data).decode()
    for body in ({"data": {"threshold": "1"}}, {"json": {"image": text, "threshold": 1}}):
        image = {} if "json" in body else {"files": {"image": data}}
        wrong = client.post(f"{path}?threshold=x", **body, **image)
        assert (wrong.status_code, set(wrong.json()["errors"])) == (422, {"threshold"})
        assert client.post(f"{path}?threshold=2", **body, **image).status_code == 200


@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_in_json_is_no_number(client, value):
    """Python counts with them; the schema says number. Every fault is named at once."""
    text = base64.b64encode(corpus.in_every_format()["png"]).decode()
    parameters = {"image": text, "threshold": value, "colour": "red"}
    answer = client.post("/v1/models/shade/predictions", json=parameters)
    assert (answer.status_code, set(answer.json()["errors"])) == (422, {"threshold", "colour"})


@pytest.mark.parametrize("name", [*corpus.STILL, *corpus.ANIMATED])
def test_every_format_is_served(client, name):
    """From the first byte of a file to the answer."""
    data = corpus.in_every_format()[name]
    answer = client.post("/v1/models/shade/predictions", files={"image": data})
    assert answer.status_code == 200
    brightness = np.asarray(corpus.scene().convert("L")).mean()
    assert answer.json()["brightness"] == pytest.approx(brightness, abs=2)


def test_a_phone_held_sideways_gets_the_same_answer(real_client):
    """EXIF orientation is applied before the net looks."""
    upright = Image.open(photo("coffee")).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "PNG", exif=exif)
    turned = real_client.post(PATH, content=buffer.getvalue(), headers=PNG)
    plain = real_client.post(PATH, content=photo("coffee").read_bytes(), headers=PNG)
    assert turned.json() == plain.json()


def test_many_at_once_get_each_their_own_answer(client):
    """Results do not change hands in a batch."""

    def ask(brightness: int) -> float:
        data = corpus.encoded(Image.new("L", (16, 16), brightness), "PNG")
        answer = client.post("/v1/models/shade/predictions", files={"image": data})
        return json.loads(answer.content)["brightness"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(0, 250, 5))) == [float(value) for value in range(0, 250, 5)]


def test_a_form_of_megabytes_never_touches_the_disk(client, monkeypatch, tmp_path):
    """The service runs where nothing can be written, and pictures stay out of /tmp."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    data = corpus.in_every_format()["png"] + bytes(5_000_000)
    answer = client.post("/v1/models/shade/predictions", files={"image": data})
    assert answer.status_code == 200
