"""What a session sets for its frames, and who may open one."""

import base64
import json

import pytest
from starlette.datastructures import Headers

from project.api.streams import messages
from project.api.streams.inputs import StreamInputs
from project.api.streams.origin import check_origin
from project.errors import Forbidden, InvalidImage, InvalidInput
from tests.conftest import picture
from tests.fakes import BlendModel, PaintModel, ShadeModel
from tests.plugins.mail import Mail

PICTURE = base64.b64encode(picture()).decode()


def inputs_of(model, **values) -> StreamInputs:
    return StreamInputs(model, 1000, values)


def test_a_picture_is_the_first_input_with_the_parameters_of_the_query():
    """As a raw body is."""
    inputs = inputs_of(ShadeModel(), threshold="3")
    raw, params = inputs.of_picture(b"picture")
    assert (raw, params.threshold) == ({"image": b"picture"}, 3)
    assert inputs.frame_input == "image"


def test_parameters_are_replaced_as_a_whole_and_kept_where_they_are_wrong():
    """What a message leaves out has its default again, as in a request."""
    inputs = inputs_of(ShadeModel(), threshold="3")
    with pytest.raises(InvalidInput) as raised:
        inputs.set_params({"threshold": 999})
    assert list(raised.value.fields) == ["threshold"]
    assert inputs.params.threshold == 3
    inputs.set_params({})
    assert inputs.of_picture(b"")[1].threshold == 127.5


@pytest.mark.parametrize("values", [None, [], "threshold", 3, {"image": PICTURE}, {"shade": 1}])
def test_parameters_that_are_none_are_refused(values):
    """With advice, not with a fault of ours."""
    with pytest.raises(InvalidInput):
        inputs_of(ShadeModel()).set_params(values)


def test_a_true_is_no_number():
    """JSON has booleans, which Pydantic would read as 1."""
    with pytest.raises(InvalidInput):
        inputs_of(ShadeModel()).set_params({"threshold": True})


def test_held_inputs_are_in_every_later_frame_until_they_are_forgotten():
    """The painting stays while the camera goes on."""
    inputs = inputs_of(BlendModel())
    inputs.hold({"style": PICTURE})
    assert inputs.of_picture(b"camera")[0] == {"content": b"camera", "style": picture()}
    inputs.hold({"style": None})
    assert inputs.of_picture(b"camera")[0] == {"content": b"camera"}


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"mask": PICTURE}, InvalidInput),
        ({"style": 3}, InvalidInput),
        ({"style": "no base64!"}, InvalidImage),
        ([PICTURE], InvalidInput),
        (None, InvalidInput),
    ],
)
def test_inputs_that_do_not_exist_or_are_no_files_are_refused(values, error):
    """And nothing is held of them."""
    inputs = inputs_of(BlendModel())
    with pytest.raises(error):
        inputs.hold(values)
    assert inputs.of_picture(b"camera")[0] == {"content": b"camera"}


@pytest.mark.parametrize(
    "values",
    [{"\ud800": PICTURE}, {"style": "\ud800"}, {"style": {"\ud800": 1}}, {"a" * 99 + "\ud800": 1}],
)
def test_half_a_character_in_an_input_is_a_problem_that_can_be_sent(values):
    """JSON can express a lone surrogate, and UTF-8 cannot."""
    inputs = inputs_of(BlendModel())
    for read in (inputs.hold, inputs.of_values):
        with pytest.raises(InvalidInput) as raised:
            read(values)
        assert messages.problem(raised.value).encode()


@pytest.mark.parametrize("values", [{"\ud800": 1}, {"threshold": "\ud800"}])
def test_half_a_character_in_a_parameter_is_a_problem_that_can_be_sent(values):
    """Likewise."""
    with pytest.raises(InvalidInput) as raised:
        inputs_of(ShadeModel()).set_params(values)
    assert messages.problem(raised.value).encode()


def test_a_text_is_a_frame_and_validated_as_a_request_is():
    """A model of texts takes no pictures."""
    inputs = inputs_of(Mail("mail"))
    assert inputs.of_values({"text": "hello"})[0] == {"text": "hello"}
    assert inputs.frame_input == "text"
    for values in ({"text": ""}, {}, {"text": "a" * 1001}, {"text": "\ud800"}):
        with pytest.raises(InvalidInput):
            inputs.of_values(values)
    with pytest.raises(InvalidInput, match="takes no picture"):
        inputs.of_picture(b"")


def test_a_model_without_inputs_takes_frames_of_nothing():
    """Its parameters are all there is, and the required ones come in the query."""
    inputs = inputs_of(PaintModel(), prompt="a fox")
    raw, params = inputs.of_values({})
    assert (raw, params.prompt, inputs.frame_input) == ({}, "a fox", None)
    with pytest.raises(InvalidInput):
        inputs_of(PaintModel())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "[" * 5000, json.dumps([[]] * 20_000), '"\ud800"']
)
def test_messages_that_are_no_objects_are_refused(text):
    """However deep or long they are."""
    with pytest.raises(InvalidInput):
        inputs_of(ShadeModel()).parse(text)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "vitrine.example"),
        ("https://vitrine.example", "vitrine.example"),
        ("https://vitrine.example", "vitrine.example:443"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://LOCALHOST", "localhost"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_a_page_of_this_host_and_what_is_no_page_may_open_a_stream(origin, host):
    """A default port may be named or not."""
    headers = {"host": host, **({"origin": origin} if origin else {})}
    check_origin(Headers(headers))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "vitrine.example"),
        ("http://localhost:8001", "localhost:8000"),
        ("https://vitrine.example.evil.example", "vitrine.example"),
        ("https://vitrine.example@evil.example", "vitrine.example"),
        ("null", "vitrine.example"),
        ("", ""),
        ("file://", ""),
        ("https://[", "["),
        ("https://vitrine.example:99999", "vitrine.example"),
    ],
)
def test_a_page_of_another_host_may_not(origin, host):
    """CORS does not cover WebSockets: this check is all that there is."""
    with pytest.raises(Forbidden):
        check_origin(Headers({"host": host, "origin": origin}), ("https://app.example",))


def test_a_page_of_an_origin_in_the_settings_may():
    """Of that scheme, host and port exactly, as in CORS."""
    allowed = ("https://app.example", "http://localhost:3000")
    for origin in allowed:
        check_origin(Headers({"host": "vitrine.example", "origin": origin}), allowed)
    for origin in ("http://app.example", "https://app.example:3000", "https://app.example/"):
        with pytest.raises(Forbidden):
            check_origin(Headers({"host": "vitrine.example", "origin": origin}), allowed)
