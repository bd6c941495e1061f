"""Live streams over real sockets, with two workers: frames in, answers out, the newest one wins."""

import base64
import socket
import time
from collections.abc import Iterator

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from drills.server import Server, free_port
from drills.waiting import wait_until
from tests.services.load import PICTURE
from tests.services.quick_app import PATH as PREDICTIONS
from tests.services.server import serve
from tests.services.streams import DARK, LIGHT, PATH, Stream, dialled, streaming, until_closed
from tests.services.wire import exchange, head

KEEPALIVE = 1
IDLE = 1.5
FRAME_BYTES = 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "KEEPALIVE_SECONDS": KEEPALIVE,
        "STREAM_IDLE_SECONDS": IDLE,
        "STREAM_FRAME_BYTES": FRAME_BYTES,
        "STREAM_FRAMES_PER_SECOND": 50,
        "METRICS_PORT": free_port(),
    }
    with serve(tmp_path_factory.mktemp("streams"), **settings) as server:
        yield server


def frames(server: Server, result: str) -> float:
    return server.metrics().value("websocket_frames_total", model="shade", result=result)


def test_hello_comes_first_and_says_what_is_served_within_which_limits(server):
    """A client needs no other request to begin."""
    with streaming(server, f"{PATH}?threshold=3", subprotocols=["other", "vitrine.v1"]) as stream:
        assert stream.connection.subprotocol == "vitrine.v1"
        assert stream.hello["session"]
        assert stream.hello | {"session": ""} == {
            "type": "hello",
            "session": "",
            "model": "shade",
            "version": "1",
            "frame_input": "image",
            "params": {"threshold": 3, "seconds": 0, "fail": False},
            "limits": {
                "frame_bytes": FRAME_BYTES,
                "frames_per_second": 50,
                "idle_seconds": IDLE,
            },
        }


def test_answers_come_in_order_with_what_a_request_gets(server):
    """The result is that of POST, and the times are those of its stages."""
    url, headers = f"{server.url}{PREDICTIONS}", {"Content-Type": "image/png"}
    posted = httpx2.post(url, content=PICTURE, headers=headers).json()
    with streaming(server) as stream:
        for number in range(1, 21):
            answer = stream.ask(LIGHT if number % 2 else DARK)
            assert (answer["type"], answer["frame"], answer["dropped"]) == ("answer", number, 0)
            assert answer["result"]["label"] == ("light" if number % 2 else "dark")
            assert (answer["width"], answer["height"]) == (32, 32)
            stages = {"queue", "decode", "preprocess", "forward", "postprocess"}
            assert set(answer["seconds"]) == stages
            assert sum(answer["seconds"].values()) <= answer["age"] + 0.001
            if number == 1:
                assert answer["result"] == posted


def test_the_newest_frame_wins_and_every_frame_is_counted(server):
    """While one computes, one waits, and a newer one replaces it."""
    before = {result: frames(server, result) for result in ("processed", "dropped", "rejected")}
    with streaming(server, f"{PATH}?seconds=0.2") as stream:
        for _ in range(9):
            stream.send(DARK)
        stream.send(LIGHT)
        answers = [stream.receive()]
        while answers[-1]["frame"] < 10:
            answers.append(stream.receive())
    numbers = [answer["frame"] for answer in answers]
    assert numbers == sorted(set(numbers))
    assert answers[-1]["result"]["label"] == "light"
    assert answers[-1]["dropped"] == 10 - len(answers)
    assert len(answers) <= 3

    def counted() -> dict[str, float]:
        return {result: frames(server, result) - before[result] for result in before}

    expected = {"processed": len(answers), "dropped": 10 - len(answers), "rejected": 0}
    assert counted() == expected
    assert server.metrics().value("websocket_frame_age_seconds_count", model="shade") >= 2


def test_a_broken_frame_is_a_problem_and_the_session_goes_on(server):
    """So is one that the model cannot use."""
    with streaming(server) as stream:
        broken = stream.ask(b"no picture")
        assert (broken["type"], broken["frame"]) == ("problem", 1)
        assert broken["problem"]["status"] == 422
        assert "JPEG" in broken["problem"]["detail"]
        assert broken["problem"]["request_id"] == stream.hello["session"]
        stream.set(fail=True)
        failed = stream.ask(LIGHT)
        assert (failed["frame"], failed["problem"]["status"]) == (2, 500)
        stream.set()
        assert stream.ask(LIGHT)["frame"] == 3
    wait_until(lambda: record_of(server, stream), "the session is logged")
    assert record_of(server, stream)[0]["rejected"] == 2
    (logged,) = [
        record
        for record in server.records("prediction_failed")
        if record["request_id"] == stream.hello["session"]
    ]
    assert "asked to fail" in logged["exception"]


def test_messages_set_parameters_and_frames_may_be_objects(server):
    """What cannot be understood has a problem without a frame as its answer."""
    with streaming(server) as stream:
        assert stream.set(threshold=255)["params"]["threshold"] == 255
        text = base64.b64encode(DARK).decode()
        answer = stream.ask({"type": "frame", "inputs": {"image": text}})
        assert (answer["frame"], answer["result"]["label"]) == (1, "dark")
        for wrong in (
            {"type": "params", "params": {"threshold": "much"}},
            {"type": "inputs", "inputs": {"style": text}},
            {"type": "surprise"},
            {},
        ):
            problem = stream.ask(wrong)
            assert (problem["type"], problem.get("frame")) == ("problem", None)
            assert problem["problem"]["status"] == 422
        assert stream.ask(LIGHT)["frame"] == 2


def record_of(server: Server, stream: Stream) -> list[dict]:
    session = stream.hello["session"]
    return [it for it in server.records("stream_served") if it["request_id"] == session]


def test_each_session_is_one_log_event_and_no_line_has_its_query(server):
    """With the client's request id, and by the template of the route."""
    headers = {"X-Request-ID": "my-stream", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    with streaming(server, f"{PATH}?threshold=77.125", additional_headers=headers) as stream:
        assert stream.hello["session"] == "my-stream"
        for _ in range(3):
            stream.ask(LIGHT)
    wait_until(lambda: record_of(server, stream), "the session is logged")
    (record,) = record_of(server, stream)
    assert record["handler"] == "/v1/models/{model}/stream"
    assert (record["model"], record["trace_id"]) == ("shade", "a" * 32)
    assert (record["close_code"], record["outcome"]) == (1000, "closed")
    assert (record["frames"], record["answered"], record["dropped"]) == (3, 3, 0)
    assert record["bytes_in"] == 3 * len(LIGHT)
    assert record["bytes_out"] > 300
    assert record["duration_seconds"] > 0
    assert "77.125" not in server.log()


def test_an_idle_session_outlives_the_keep_alive_and_closes_with_4408(server):
    """Frames alone count; the time-out of idle HTTP connections has no part in it."""
    began = time.monotonic()
    with streaming(server) as stream:
        stream.set()
        code, messages = stream.await_close()
    assert code == 4408
    assert messages[-1]["problem"]["type"] == "urn:vitrine:problem:stream-idle"
    assert time.monotonic() - began >= IDLE > KEEPALIVE


def test_a_message_beyond_the_limit_closes_with_1009(server):
    """Of a picture as of a text."""
    for message in (b"a" * (FRAME_BYTES + 1), "a" * (FRAME_BYTES + 1)):
        with dialled(server) as connection:
            connection.send(message)
            assert until_closed(connection)[0] == 1009


def test_bytes_that_are_no_websocket_close_without_a_fault_in_the_log(server):
    """1007 for a text that is no UTF-8, 1002 for a frame without a mask."""
    faults = len([record for record in server.records() if record["severity"] == "ERROR"])
    for frame, code in ((b"\x81\x82\0\0\0\0\xff\xff", 1007), (b"\x82\x01a", 1002)):
        with dialled(server) as connection:
            connection.recv()
            connection.socket.sendall(frame)
            assert until_closed(connection)[0] == code
    with streaming(server) as stream:
        stream.ask(LIGHT)
    wait_until(lambda: record_of(server, stream), "the session is logged")
    assert len([record for record in server.records() if record["severity"] == "ERROR"]) == faults


def test_a_wrong_query_is_told_and_closed_with_1008(server):
    """A page would learn nothing of a refused handshake."""
    with dialled(server, f"{PATH}?threshold=much") as connection:
        code, (problem,) = until_closed(connection)
    assert code == 1008
    assert list(problem["problem"]["errors"]) == ["threshold"]


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        (PATH, "https://evil.example", 403),
        ("/v1/models/none/stream", None, 404),
    ],
)
def test_another_origin_and_an_unknown_model_are_plain_http(server, path, origin, status):
    """A problem document, and no error in the log."""
    with pytest.raises(InvalidStatus) as refused, dialled(server, path, origin=origin):
        pass
    answer = refused.value.response
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ASGI callable returned" not in server.log()
    logged = [record["origin"] for record in server.records("stream_origin_refused")]
    assert (origin in logged) == (status == 403)


def test_the_own_origin_is_let_in(server):
    """With the port, as a browser sends it."""
    with streaming(server, origin=server.url) as stream:
        assert stream.ask(LIGHT)["frame"] == 1


def test_no_stream_is_on_the_metrics_port(server):
    """That port has numbers and no model."""
    lines = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert server.metrics_port
    assert exchange(server.metrics_port, head("GET", PATH, *lines, keep_alive=True)).status == 403


def test_a_session_is_answered_no_faster_than_the_rate(server):
    """Fifty a second, and three more at once, however fast the model and its client are."""
    with streaming(server) as stream:
        began = time.monotonic()
        for _ in range(53):
            stream.ask(LIGHT)
        assert time.monotonic() - began >= 0.98


def test_of_a_flood_the_last_frame_is_answered(server):
    """What comes faster than the rate is dropped, and counted in the next answer."""
    with streaming(server) as stream:
        for _ in range(100):
            stream.send(LIGHT)
        answers = [stream.receive()]
        while answers[-1]["frame"] < 100:
            answers.append(stream.receive())
        assert answers[-1]["dropped"] == 100 - len(answers)


def test_a_flood_of_empty_frames_does_not_hold_a_worker(server):
    """Each worker may read a second's messages at once; then the network holds the others."""
    with streaming(server) as flooding, streaming(server) as stream:
        before = sum(frames(server, result) for result in ("processed", "dropped", "rejected"))
        began = time.monotonic()
        flooding.connection.socket.sendall(b"\x82\x80\0\0\0\0" * 20_000)
        for number in range(1, 26):
            answer = stream.ask(LIGHT)
            assert (answer["type"], answer["frame"]) == ("answer", number)
        after = sum(frames(server, result) for result in ("processed", "dropped", "rejected"))
        assert after - before <= 25 + 200 * (2 + time.monotonic() - began)
        flooding.connection.socket.shutdown(socket.SHUT_RDWR)  # its close would not be read
    wait_until(
        lambda: server.metrics().value("websocket_connections_active") == 0, "both have ended"
    )


def test_models_name_the_path_of_their_stream(server):
    """The page opens what the API names."""
    (model,) = httpx2.get(f"{server.url}/v1/models").json()["models"]
    assert model["stream"] == PATH
    assert httpx2.get(f"{server.url}/v1/models/shade").json()["stream"] == PATH
