"""Every kind of input, every way to send it, every kind of result, every type to answer with."""

import base64
import io
import json

import pytest
from PIL import Image
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.observability.metrics import INPUT_ENCODINGS, STAGES
from tests.conftest import make_settings, picture
from tests.contract_models import Answer, Echo, Look, Pattern
from tests.fakes import BlendModel, ShadeModel

MAX_TEXT = 200
B64 = base64.b64encode(picture()).decode()
DARK = picture(colour="black")
JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
PICTURES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}


@pytest.fixture(scope="module")
def client():
    settings = make_settings(max_text_length=MAX_TEXT)
    models = [
        ShadeModel(),
        BlendModel(),
        Echo("echo"),
        Look("look"),
        Answer("answer"),
        Pattern("pattern"),
    ]
    with TestClient(create_app(settings, models), raise_server_exceptions=False) as client:
        yield client


def post(client, model, accept=None, **sent):
    headers = {**sent.pop("headers", {}), **({"accept": accept} if accept else {})}
    return client.post(f"/v1/models/{model}/predictions", headers=headers, **sent)


def raw(body, media_type, **more):
    return {"content": body, "headers": {"content-type": media_type}, **more}


TWO = {"content": B64, "style": f"data:image/png;base64,{B64}"}
ASKED = {"image": B64, "text": "a fox"}
WAYS = [
    ("shade", {"files": {"image": picture()}}),
    ("shade", raw(picture(), "image/png")),
    ("shade", raw(picture(), "application/octet-stream")),
    ("shade", {"json": {"image": B64}}),
    ("echo", {"json": {"text": "grüße"}}),
    ("echo", {"data": {"text": "grüße"}}),
    ("echo", {"files": {"text": ("mail.txt", "grüße".encode())}}),
    ("echo", {"files": [("text", (None, "grüße"))]}),
    ("echo", raw("grüße".encode(), TEXT)),
    ("echo", raw("grüße".encode(), f"{TEXT}; charset=UTF-8")),
    ("echo", raw("grüße".encode("latin-1"), f"{TEXT}; charset=iso-8859-1")),
    ("echo", {"params": {"text": "grüße"}}),
    ("echo", raw("grüße".encode(), TEXT, params={"text": "of the query"})),
    ("blend", {"files": {"content": picture(), "style": DARK}}),
    ("blend", {"json": TWO}),
    ("look", {"files": {"image": picture()}, "data": {"least": "0.5"}}),
    ("look", raw(picture(), "image/png", params={"least": "0.5"})),
    ("look", {"json": {"image": B64, "least": 0.5}}),
    ("answer", {"json": ASKED}),
    ("answer", {"files": {"image": picture()}, "data": {"text": "a fox"}}),
    ("answer", {"files": {"image": picture(), "text": ("q.txt", b"a fox")}}),
    ("answer", raw(picture(), "image/png", params={"text": "a fox"})),
    ("pattern", {}),
    ("pattern", {"json": {}}),
    ("pattern", {"json": {"side": 16}}),
    ("pattern", {"data": {"side": "16"}}),
    ("pattern", {"params": {"side": 16}}),
    ("pattern", {"files": [("side", (None, "16"))]}),
]
RESULTS = {
    "shade": {"label": "light", "brightness": 255.0},
    "echo": {"label": "grüße", "probability": None},
    "look": {
        "boxes": [{"label": "picture", "score": 1.0, "x1": 0.0, "y1": 0.0, "x2": 31.0, "y2": 31.0}],
        "points": [{"label": "middle", "x": 16.0, "y": 16.0, "box": 0}],
    },
    "answer": {
        "label": "plain",
        "probability": 0.75,
        "reasons": [{"text": "a fox", "weight": 1.0}, {"text": "nothing", "weight": 0.5}],
    },
}


@pytest.mark.parametrize(("model", "sent"), WAYS)
def test_every_way_in_gives_the_same_answer(client, model, sent):
    """Of each model: JSON of the result, or a PNG of the picture; with its stages' times."""
    answer = post(client, model, **sent)
    assert answer.status_code == 200, answer.text
    stages = {item.split(";")[0] for item in answer.headers["server-timing"].split(", ")}
    expected = set(STAGES) - ({"preprocess"} if model in {"blend", "answer", "pattern"} else set())
    assert stages == expected
    if model in RESULTS:
        assert answer.headers["content-type"] == JSON
        assert answer.json() == RESULTS[model]
    else:
        assert answer.headers["content-type"] == "image/png"
        size = Image.open(io.BytesIO(answer.content)).size
        assert size == ((32, 32) if model == "blend" else (16, 16))


@pytest.mark.parametrize(
    ("model", "sent", "media_type"),
    [
        ("blend", raw(picture(), "image/png"), "image/png"),
        ("blend", {"data": {"content": "x"}}, FORM),
        ("blend", {}, "missing"),
        ("echo", raw(picture(), "image/png"), "image/png"),
        ("echo", raw(b"x", "application/pdf"), "application/pdf"),
        ("answer", raw(b"a fox", TEXT), TEXT),
        ("pattern", raw(b"x", TEXT), TEXT),
        ("shade", {"data": {"image": "x"}}, FORM),
    ],
)
def test_a_body_that_cannot_hold_the_inputs_is_a_415_with_all_ways(client, model, sent, media_type):
    """The client reads what to send instead."""
    answer = post(client, model, **sent)
    assert answer.status_code == 415
    detail = answer.json()["detail"]
    assert f"the Content-Type is {media_type}" in detail
    assert JSON in detail


@pytest.mark.parametrize(
    ("model", "sent", "kind", "faults"),
    [
        ("echo", {}, "invalid-input", {"text"}),
        ("echo", {"json": {"text": ""}}, "invalid-input", {"text"}),
        ("echo", {"json": {"text": 5}}, "invalid-input", {"text"}),
        ("echo", {"json": {"text": "x" * 201}}, "invalid-input", {"text"}),
        ("echo", raw(b"", TEXT), "invalid-input", {"text"}),
        ("echo", raw(b"\xff\xfe", TEXT), "invalid-input", {"the body"}),
        ("echo", {"files": {"text": ("t", b"\xff")}}, "invalid-input", {"text"}),
        ("echo", raw(b'{"text": "\\ud800"}', JSON), "invalid-input", {"text"}),
        ("answer", {"json": {"image": B64}}, "invalid-input", {"text"}),
        ("answer", {"json": ASKED | {"text": "x" * 21, "o": 1}}, "invalid-input", {"text", "o"}),
        ("answer", {"json": ASKED | {"text": "nonsense"}}, "invalid-input", {"text"}),
        ("answer", {"json": {"text": "x"}}, "invalid-input", None),
        ("answer", {"json": ASKED | {"mask": 5}}, "invalid-input", None),
        ("answer", {"json": ASKED | {"mask": "bm8gcGljdHVyZQ=="}}, "invalid-image", {"mask"}),
        ("answer", {"files": {"text": ("t", b"x")}}, "invalid-image", None),
        ("blend", {"files": {"content": picture(), "style": b"x"}}, "invalid-image", {"style"}),
        ("blend", {"files": {"content": picture()}}, "invalid-image", None),
        ("pattern", {"json": {"side": 5}}, "invalid-input", {"side"}),
        ("pattern", {"params": {"quality": 0}}, "invalid-input", {"quality"}),
    ],
)
def test_what_cannot_be_used_is_named(client, model, sent, kind, faults):
    """Before anything is computed; each fault by its name."""
    answer = post(client, model, **sent)
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == f"urn:vitrine:problem:{kind}"
    if faults:
        assert set(answer.json()["errors"]) == faults


def test_optional_inputs_are_used_where_they_are_sent(client):
    """A second picture and a second text."""
    answer = post(client, "answer", json=ASKED | {"mask": B64, "note": "hm"})
    assert answer.json()["label"] == "masked"
    assert answer.json()["reasons"][1]["text"] == "hm"
    assert post(client, "answer", json=ASKED | {"mask": None}).json()["label"] == "plain"


ANSWERS = {
    "shade": ({None: JSON, "*/*": JSON, JSON: JSON, "application/*": JSON}, "image/png"),
    "look": (
        {
            None: JSON,
            "*/*": JSON,
            "image/*": "image/png",
            **{media_type: media_type for media_type in (JSON, *PICTURES)},
            "image/jpeg;q=0.5, image/webp;q=0.9": "image/webp",
            "image/*;q=0.9, application/json;q=0.8": "image/png",
            "image/png;q=0, */*;q=0.1": JSON,
            "IMAGE/JPEG": "image/jpeg",
            "nonsense": JSON,
        },
        "text/html",
    ),
    "pattern": (
        {
            None: "image/png",
            "*/*": "image/png",
            "image/*": "image/png",
            **{media_type: media_type for media_type in (JSON, *PICTURES)},
            "text/html, image/avif, image/webp, */*;q=0.8": "image/webp",
        },
        "audio/ogg",
    ),
}
CASES = [
    (model, accept, expected)
    for model, (accepted, _) in ANSWERS.items()
    for accept, expected in accepted.items()
]
SENT = {"shade": {"files": {"image": picture()}}, "look": {"files": {"image": picture()}}}


@pytest.mark.parametrize(("model", "accept", "expected"), CASES)
def test_accept_chooses_the_answer(client, model, accept, expected):
    """The highest q, then the usual type; caches are told that it varies."""
    client.headers.pop("accept", None)
    answer = post(client, model, accept, **SENT.get(model, {}))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == expected
    assert answer.headers.get("vary") == (None if model == "shade" else "Accept")
    if expected in PICTURES:
        image = Image.open(io.BytesIO(answer.content))
        assert image.format == PICTURES[expected]
        assert image.size == ((32, 32) if model == "look" else (16, 16))


@pytest.mark.parametrize("model", ANSWERS)
def test_a_type_that_cannot_be_answered_is_a_406_before_the_body_is_read(client, model):
    """The problem names what can."""
    answer = post(client, model, ANSWERS[model][1], **SENT.get(model, {}))
    assert answer.status_code == 406
    assert answer.json()["type"] == "urn:vitrine:problem:not-acceptable"
    assert JSON in answer.json()["detail"]


def test_a_picture_as_json_is_a_data_url(client):
    """Of the same picture, its transparency kept; a JPEG has white instead."""
    text = post(client, "pattern", JSON).json()["picture"]
    prefix, _, payload = text.partition(",")
    assert prefix == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(payload)))
    assert (image.mode, image.getpixel((15, 0))[3]) == ("RGBA", 0)
    jpeg = Image.open(io.BytesIO(post(client, "pattern", "image/jpeg").content))
    assert min(jpeg.getpixel((15, 8))) > 240


def test_quality_makes_a_picture_smaller(client):
    """In the query, a form or JSON, as any parameter; it is none where there is no picture."""
    large, small = (
        len(post(client, "look", "image/jpeg", json={"image": B64, "quality": quality}).content)
        for quality in (95, 5)
    )
    assert small < large
    assert post(client, "shade", json={"image": B64, "quality": 5}).status_code == 422


def test_a_drawing_has_the_pixels_that_were_sent(client):
    """Whatever the model needed of them; the box of the whole picture is drawn at its edge."""
    photo = Image.new("RGB", (640, 320), "white")
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG")
    answer = post(client, "look", "image/png", **raw(buffer.getvalue(), "image/jpeg"))
    drawing = Image.open(io.BytesIO(answer.content))
    assert drawing.size == (640, 320)
    assert drawing.getpixel((639, 160)) != (255, 255, 255)
    assert drawing.getpixel((320, 80)) == (255, 255, 255)


@pytest.mark.parametrize("model", ["shade", "blend", "echo", "look", "answer", "pattern"])
def test_the_examples_of_the_documentation_run(client, model):
    """Every body that has one, as it stands."""
    document = client.get("/openapi.json").json()
    path = f"/v1/models/{model}/predictions"
    content = document["paths"][path]["post"]["requestBody"]["content"]
    examples = {name: item["example"] for name, item in content.items() if "example" in item}
    assert JSON in examples
    for media_type, example in examples.items():
        body = json.dumps(example) if media_type == JSON else example
        answer = client.post(path, content=body.encode(), headers={"content-type": media_type})
        assert answer.status_code == 200, answer.text


def test_models_say_what_goes_in_and_out(client):
    """All that a page or a generated client needs."""
    answer = client.get("/v1/models/answer").json()
    assert [(it["name"], it["kind"], it["required"]) for it in answer["inputs"]] == [
        ("image", "image", True),
        ("text", "text", True),
        ("note", "text", False),
        ("mask", "image", False),
    ]
    assert (answer["inputs"][1]["max_length"], answer["inputs"][1]["examples"]) == (20, ["a fox"])
    assert answer["result"]["kinds"] == ["reason", "label"]
    look = client.get("/v1/models/look").json()
    assert look["result"]["kinds"] == ["box", "point"]
    assert look["result"]["media_types"] == [JSON, *PICTURES]
    assert look["draws"] is True
    assert look["limits"]["text_characters"] == MAX_TEXT


def test_a_rectangle_on_a_picture_is_marked_in_the_schema_of_the_parameters():
    """A page draws it on the picture instead of asking for four numbers."""
    with TestClient(create_app(make_settings(models=("background_removal",)))) as client:
        schema = client.get("/v1/models/background_removal").json()["parameters_schema"]
    fields = ["x", "y", "width", "height"]
    group = {"kind": "rectangle", "input": "image", "unit": "share", "fields": fields}
    assert schema["x-groups"] == [group]
    assert set(fields) < set(schema["properties"])


@pytest.mark.parametrize(
    ("encoding", "model", "sent"),
    [
        ("multipart", "shade", {"files": {"image": picture()}}),
        ("raw", "shade", raw(picture(), "image/png")),
        ("json", "shade", {"json": {"image": B64}}),
        ("text", "echo", raw(b"hello", TEXT)),
        ("urlencoded", "echo", {"data": {"text": "hello"}}),
        ("query", "echo", {"params": {"text": "hello"}}),
    ],
)
def test_the_way_that_inputs_are_sent_is_counted(client, encoding, model, sent):
    """One for each request whose inputs could be read, and none for one that could not."""

    def counts():
        return {
            name: REGISTRY.get_sample_value("inference_inputs_total", {"encoding": name})
            for name in INPUT_ENCODINGS
        }

    before = counts()
    assert post(client, model, **sent).status_code == 200
    assert counts() == {**before, encoding: before[encoding] + 1}
    assert post(client, model, **{**sent, "params": {"text": "a", "no": 1}}).status_code == 422
    assert counts() == {**before, encoding: before[encoding] + 1}
