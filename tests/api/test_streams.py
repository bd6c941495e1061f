"""Sessions of live streams that a fault of ours, or a model that is not there, ends."""

import base64
import contextlib

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from project.api.factory import create_app
from tests.conftest import make_settings, picture
from tests.fakes import BlendModel, PaintModel, ShadeModel

PATH = "/v1/models/shade/stream"


@contextlib.contextmanager
def served(*models, **settings):
    with TestClient(create_app(make_settings(**settings), list(models))) as client:
        yield client


def closed(socket) -> int:
    with pytest.raises(WebSocketDisconnect) as ended:
        socket.receive_json()
    return ended.value.code


def test_a_model_that_is_not_loaded_is_told_and_closed_with_1013(shade):
    """Another worker, or a later attempt, may serve."""
    shade.load_error = OSError("weights are corrupt")
    with served(shade) as client, client.websocket_connect(PATH) as socket:
        problem = socket.receive_json()["problem"]
        assert problem["type"] == "urn:vitrine:problem:model-unavailable"
        assert closed(socket) == 1013


def test_a_fault_of_ours_is_told_without_its_reason_and_closed_with_1011(
    shade, monkeypatch, caplog
):
    """With an error in the log, which Sentry reports."""

    async def fail(*_arguments):
        raise RuntimeError("a secret of ours")

    with served(shade) as client:
        monkeypatch.setattr("project.inference.runner.Runner.predict_newest", fail)
        with client.websocket_connect(PATH) as socket:
            assert socket.receive_json()["type"] == "hello"
            socket.send_bytes(picture())
            problem = socket.receive_json()
            assert problem["problem"]["type"] == "urn:vitrine:problem:internal-error"
            assert "secret" not in str(problem)
            assert closed(socket) == 1011


def test_a_session_that_begins_while_the_server_stops_gets_1012_at_once(shade):
    """It was on its way when the others were told."""
    with served(shade) as client:
        client.app_state["streams"].close()
        with client.websocket_connect(PATH) as socket:
            assert socket.receive_json()["type"] == "hello"
            assert closed(socket) == 1012


def test_a_large_text_is_read_and_answered_like_a_small_one(shade):
    """It is parsed and decoded in a thread."""
    large = base64.b64encode(picture("BMP", size=(256, 256))).decode()
    with served(shade) as client, client.websocket_connect(PATH) as socket:
        socket.receive_json()
        socket.send_json({"type": "frame", "inputs": {"image": large}})
        answer = socket.receive_json()
        assert (answer["frame"], answer["width"]) == (1, 256)
        socket.send_json({"type": "frame", "inputs": {"image": large + "!"}})
        problem = socket.receive_json()
        assert (problem["frame"], problem["problem"]["status"]) == (2, 422)


def test_half_a_character_in_a_name_is_a_problem_and_the_session_goes_on(shade):
    """No client can make a fault of ours."""
    with served(shade) as client, client.websocket_connect(PATH) as socket:
        socket.receive_json()
        socket.send_text(r'{"type": "inputs", "inputs": {"\ud800": "x"}}')
        assert socket.receive_json()["problem"]["status"] == 422
        socket.send_text(r'{"type": "frame", "inputs": {"\ud800": "x"}}')
        problem = socket.receive_json()
        assert (problem["frame"], problem["problem"]["status"]) == (1, 422)
        socket.send_bytes(picture())
        assert socket.receive_json()["frame"] == 2


def test_a_frame_that_takes_too_long_is_a_problem_and_the_session_goes_on(shade):
    """Each frame has the deadline of a prediction."""
    with served(shade, prediction_deadline_seconds=0.05) as client:
        shade.go_on.clear()
        with client.websocket_connect(PATH) as socket:
            socket.receive_json()
            socket.send_bytes(picture())
            late = socket.receive_json()
            assert (late["frame"], late["problem"]["status"]) == (1, 504)
            shade.go_on.set()
            socket.send_bytes(picture())
            assert socket.receive_json()["frame"] == 2


def test_a_picture_that_is_held_stays_while_frames_come():
    """The result of a model of pictures is a picture in JSON, as POST gives it."""
    style = base64.b64encode(picture()).decode()
    path = "/v1/models/blend/stream"
    with served(BlendModel()) as client, client.websocket_connect(path) as socket:
        assert socket.receive_json()["frame_input"] == "content"
        socket.send_bytes(picture())
        missing = socket.receive_json()
        assert missing["frame"] == 1
        assert missing["problem"]["errors"] == {"style": "Field required"}
        socket.send_json({"type": "inputs", "inputs": {"style": style}})
        for number in (2, 3):
            socket.send_bytes(picture())
            answer = socket.receive_json()
            assert answer["frame"] == number
            assert answer["result"]["picture"].startswith("data:image/png;base64,")


def test_a_model_in_the_background_has_no_stream():
    """It takes longer than a client should wait."""
    with served(ShadeModel(), PaintModel(), jobs=False) as client:
        with pytest.raises(WebSocketDenialResponse) as refused:
            client.websocket_connect("/v1/models/paint/stream").__enter__()
        assert refused.value.status_code == 404
