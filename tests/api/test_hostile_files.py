"""Broken, hostile and arbitrary input: always a 4xx that says what to do, in bounded memory."""

import base64
import json
import re
import subprocess
import sys
from collections import ChainMap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.errors import InvalidImage
from project.inference.images.decoding import ImageLimits, decode
from tests import corpus
from tests.conftest import make_settings
from tests.fakes import ShadeModel

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as in the product
PATH = "/v1/models/shade/predictions"
IMAGE = {"Content-Type": "image/png"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
ADVICE = re.compile(r"send|give|scale|correct|encode|leave it out|with curl|must|takes")
INSIDE = re.compile(r"Traceback|Error|Exception|\.py|0x[0-9a-f]{5}|<[_a-z]+\.|(?<![\w*])/[a-z]+/")
PICTURE = corpus.in_every_format()["png"]
TEXT = base64.b64encode(PICTURE).decode()
LIMITS = ImageLimits.of(make_settings())
FUZZ = settings(max_examples=150)


@pytest.fixture(scope="module")
def server() -> Iterator[TestClient]:
    settings = make_settings(log_level="ERROR", prediction_deadline_seconds=20)
    app = create_app(settings, [ShadeModel()])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def assert_refused(answer: Any) -> None:
    """A problem document with advice."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", document["trace_id"])
    assert_advice(document["detail"])


def assert_advice(detail: str) -> None:
    """It says what to do, and shows nothing of our inside."""
    assert ADVICE.search(detail), detail
    ours, _, _echo = detail.partition("the Content-Type is ")
    assert not INSIDE.search(ours), detail
    assert len(detail) < 400


def assert_answered(answer: Any) -> None:
    if answer.status_code != 200:
        assert_refused(answer)


@pytest.mark.parametrize("name", [*dict(corpus.truncated()), *corpus.bombs(), *corpus.no_images()])
def test_a_file_that_is_no_whole_picture_costs_its_sender_a_422(server, name):
    """Cut files, bombs, and what people take for pictures."""
    data = ChainMap(dict(corpus.truncated()), corpus.bombs(), corpus.no_images())[name]
    answer = server.post(PATH, content=data, headers=IMAGE)
    assert_refused(answer)
    assert answer.status_code == 422
    assert server.post(PATH, files={"image": data}).json()["detail"] == answer.json()["detail"]


@pytest.mark.parametrize("name", corpus.bulky())
def test_a_whole_picture_with_ballast_is_still_a_picture(server, name):
    """Megabytes of metadata are unwise and no fault."""
    assert server.post(PATH, content=corpus.bulky()[name], headers=IMAGE).status_code == 200


def part(name: str, content: bytes, extra: str = "") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + content + b"\r\n"


FILE = '; filename="a.png"'
NESTED = FILE + "\r\nContent-Type: multipart/mixed; boundary=y"
BODIES = {
    "nothing at all": (b"", {}),
    "no Content-Type": (PICTURE, {}),
    "text": (PICTURE, {"Content-Type": "text/plain"}),
    "an upper-case nonsense type": (PICTURE, {"Content-Type": "IMAGE"}),
    "a URL-encoded form": (b"image=x", {"Content-Type": "application/x-www-form-urlencoded"}),
    "form: no boundary": (b"x", {"Content-Type": "multipart/form-data"}),
    "form: no form": (PICTURE, FORM),
    "form: empty": (b"", FORM),
    "form: ended at once": (b"--x--\r\n", FORM),
    "form: field missing": (part("top_k", b"1") + b"--x--", FORM),
    "form: file in another field": (part("file", PICTURE, FILE) + b"--x--", FORM),
    "form: image is no file": (part("image", PICTURE) + b"--x--", FORM),
    "form: two files": (part("image", PICTURE, FILE) * 2 + b"--x--", FORM),
    "form: cut off": (part("image", PICTURE, FILE)[:-40], FORM),
    "form: cut in its head": (part("image", PICTURE, FILE)[:30], FORM),
    "form: nested": (
        part("image", part("image", PICTURE, FILE).replace(b"--x", b"--y"), NESTED) + b"--x--",
        FORM,
    ),
    "form: a part without a name": (b"--x\r\nA: b\r\n\r\nc\r\n--x--", FORM),
    "form: too many fields": (part("f", b"1") * 40 + b"--x--", FORM),
    "form: a field of 2 MB": (part("threshold", b"1" * 2_000_000) + b"--x--", FORM),
    "form: NUL bytes": (part("thre\0shold", b"\0") + part("image", b"\0", FILE) + b"--x--", FORM),
    "form: charset": (
        part("image", PICTURE, FILE) + b"--x--",
        {"Content-Type": "multipart/form-data; boundary=x; charset=punycode"},
    ),
    "JSON: empty": (b"", JSON),
    "JSON: cut off": (b'{"image": "', JSON),
    "JSON: a list": (b"[]", JSON),
    "JSON: a number": (b"7", JSON),
    "JSON: null": (b"null", JSON),
    "JSON: a list inside": (b'{"image": ["x"]}', JSON),
    "JSON: no image": (b'{"threshold": 1}', JSON),
    "JSON: deeply nested": (b"[" * 1_000_000, JSON),
    "JSON: deep in a parameter": (
        b'{"image": "", "threshold": ' + b"[" * 900 + b"]" * 900 + b"}",
        JSON,
    ),
    "JSON: 10 MB of numbers": (b"[" + b"1," * 5_000_000 + b"1]", JSON),
    "JSON: a number of 5,000 digits": (b'{"image": "", "threshold": ' + b"9" * 5000 + b"}", JSON),
    "JSON: not UTF-8": (b'{"image": "\xff"}', JSON),
    "JSON: half a character": (b'{"image": "", "\\ud800": 1}', JSON),
    "JSON: NUL": (b'{"image": "\\u0000"}', JSON),
    "JSON: NaN": (f'{{"image": "{TEXT}", "threshold": NaN}}'.encode(), JSON),
    "JSON: invalid base64": (b'{"image": "%%%"}', JSON),
    "JSON: base64 of text": (b'{"image": "aGVsbG8sIHdvcmxk"}', JSON),
    "JSON: nothing in base64": (b'{"image": ""}', JSON),
    "JSON: a link": (b'{"image": "https://example.org/cat.jpg"}', JSON),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_put_together_wrongly_is_refused_with_advice(server, name):
    """Whatever the fault, the answer says what to send."""
    body, headers = BODIES[name]
    assert_refused(server.post(PATH, content=body, headers=headers))


def test_a_parameter_or_an_image_that_comes_twice_is_refused_by_name(server):
    """Nobody knows which was meant."""
    image, threshold = part("image", PICTURE, FILE), part("threshold", b"0")
    for answer, name in (
        (server.post(PATH, content=threshold * 2 + image + b"--x--", headers=FORM), "threshold"),
        (server.post(PATH, content=part("image", b"") + image + b"--x--", headers=FORM), "image"),
        (server.post(f"{PATH}?x=0&x=1", content=PICTURE, headers=IMAGE), "x"),
    ):
        assert_refused(answer)
        assert set(answer.json()["errors"]) == {name}


def test_thousands_of_parameters_cost_one_short_answer(server):
    """Whether each occurs once or all occur twice."""
    many = "&".join(f"{number:x}" for number in range(5_000))
    for query in (many, f"{many}&{many}"):
        answer = server.post(f"{PATH}?{query}", content=PICTURE, headers=IMAGE)
        assert_refused(answer)
        assert len(answer.json().get("errors", {})) <= 32


def test_a_charset_that_is_slow_to_decode_is_not_used(server):
    """Punycode and IDNA are quadratic, and forms are parsed on the event loop."""
    for charset in ("punycode", "idna", "undefined", "unicode_escape", "x" * 1000, '"'):
        body = part("threshold", b"-" + b"a" * 900_000) + part("image", PICTURE, FILE) + b"--x--"
        kind = f"multipart/form-data; boundary=x; charset={charset}"
        assert "utf-8" in server.post(PATH, content=body, headers={"Content-Type": kind}).text


CHILD = """
import sys
from pathlib import Path
from project.errors import InvalidImage
from project.inference.images.decoding import ImageLimits, decode
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024
before = peak()
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        decode(path.read_bytes(), ImageLimits(10_000_000, 8))
    except InvalidImage:
        pass
print(peak() - before)
"""


def test_no_file_takes_more_than_25_bytes_a_pixel_of_the_limit(tmp_path):
    """The whole corpus in one process, against 10 million pixels: bombs unfold nowhere."""
    files = {**dict(corpus.truncated()), **corpus.bombs(), **corpus.no_images(), **corpus.bulky()}
    for number, data in enumerate(files.values()):
        (tmp_path / str(number)).write_bytes(data)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ran.stdout) < 250  # MB; one zip bomb alone would unfold to 256


mutated = st.sampled_from(sorted(corpus.in_every_format().values())).flatmap(corpus.mutations)


@settings(FUZZ, max_examples=600)
@given(data=mutated | st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_refused(data):
    """Flipped bits, missing pieces, added bytes, noise: no other error, which would be a 500."""
    try:
        decode(data, LIMITS)
    except InvalidImage as error:
        assert_advice(error.detail)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(
    values, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
fields = st.sampled_from(["image", "threshold", "\ud800", ""]) | st.text()


@FUZZ
@given(value=anything | st.dictionaries(fields, anything | st.just(TEXT)))
def test_any_json_is_answered(server, value):
    """Lists, numbers, halves of characters, infinities."""
    assert_answered(server.post(PATH, content=json.dumps(value), headers=JSON))


@FUZZ
@given(body=corpus.mutations(part("threshold", b"9") + part("image", PICTURE, FILE) + b"--x--\r\n"))
def test_any_form_is_answered(server, body):
    """A good one, with bits flipped, pieces cut out and bytes put in."""
    assert_answered(server.post(PATH, content=body, headers=FORM))


@FUZZ
@given(
    query=st.dictionaries(st.just("threshold") | st.text(), st.text(), max_size=5)
    | st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")),
    kind=st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.just("image/png"),
)
def test_any_query_and_content_type_are_answered(server, query, kind):
    """Names and values beyond any keyboard."""
    clean = query
    if isinstance(query, dict):
        clean = {
            k.encode("utf-8", "replace"): v.encode("utf-8", "replace") for k, v in query.items()
        }
    headers = {"Content-Type": kind.strip() or "x"}
    assert_answered(server.post(PATH, params=clean, content=PICTURE, headers=headers))
