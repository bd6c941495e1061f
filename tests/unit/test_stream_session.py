"""One session of a live stream, on a connection whose messages are there at once."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from project.api.streams.inputs import StreamInputs
from project.api.streams.messages import StreamLimits
from project.api.streams.session import MIN_MESSAGES_PER_SECOND, Counts, StreamSession
from tests.conftest import make_settings
from tests.runners import DEADLINE, serving

pytestmark = pytest.mark.anyio
FLOOD = 10_000  # messages
LIMITS = StreamLimits(frame_bytes=1 << 20, frames_per_second=30, idle_seconds=DEADLINE)


class FullSocket:
    """Has the same message so many times, and then none; what is sent to it suspends nothing."""

    def __init__(self, message: dict, count: int, *, awaited: int) -> None:
        self.received = 0
        self.sent: list[dict] = []
        self.reached = asyncio.Event()  # so many messages are received
        self.answered = asyncio.Event()  # a message is sent beside the hello
        self._message = {"type": "websocket.receive", **message}
        self._count = count
        self._awaited = awaited

    async def receive(self) -> dict:
        if self.received == self._count:
            await asyncio.Event().wait()
        self.received += 1
        if self.received == self._awaited:
            self.reached.set()
        return self._message

    async def send_text(self, text: str) -> None:
        self.sent.append(json.loads(text))
        if len(self.sent) > 1:
            self.answered.set()


class ThreadedInputs(StreamInputs):
    """Notes the thread that parameters are validated in."""

    thread: threading.Thread | None = None

    def set_params(self, values):
        """Note the thread."""
        self.thread = threading.current_thread()
        return super().set_params(values)


@asynccontextmanager
async def session_of(shade, socket, inputs=None) -> AsyncIterator[Counts]:
    """Serve a session while the context is open."""
    counts = Counts()
    async with serving(make_settings(), shade) as runner:
        inputs = inputs or StreamInputs(shade, 1000, {})
        session = StreamSession(socket, shade, runner, inputs, LIMITS, counts)
        served = asyncio.create_task(session.serve())
        try:
            yield counts
        finally:
            session.restart()
            await served


MESSAGES = [
    {"bytes": b""},
    {"text": "junk"},
    {"text": json.dumps({"type": "frame", "inputs": {"image": 3}})},
]


@pytest.mark.parametrize("message", MESSAGES)
async def test_a_flood_leaves_the_loop_to_others_after_each_message(shade, message):
    """Other sessions, and probes, are served by the same loop."""
    socket = FullSocket(message, FLOOD, awaited=FLOOD)
    async with session_of(shade, socket):
        for _ in range(50):
            await asyncio.sleep(0)
        assert socket.received <= 50


@pytest.mark.parametrize("message", MESSAGES)
async def test_a_flood_is_read_no_faster_than_a_client_has_reason_to_send(shade, message):
    """A second's messages may come at once, as after a pause of the network."""
    burst = round(MIN_MESSAGES_PER_SECOND)
    count = burst + burst // 4
    socket = FullSocket(message, FLOOD, awaited=count)
    async with session_of(shade, socket):
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(DEADLINE):
            await socket.reached.wait()
        assert socket.received <= count + 1
        assert asyncio.get_running_loop().time() - began >= 0.2


async def test_parameters_of_a_large_text_are_validated_in_a_thread(shade):
    """As it is parsed in one."""
    text = json.dumps({"type": "params", "params": {"threshold": 3}}) + " " * 100_000
    inputs = ThreadedInputs(shade, 1000, {})
    socket = FullSocket({"text": text}, 1, awaited=1)
    async with session_of(shade, socket, inputs):
        async with asyncio.timeout(DEADLINE):
            await socket.answered.wait()
        assert inputs.thread is not threading.main_thread()
        assert socket.sent[1] == {"type": "params", "params": {"threshold": 3}}


async def test_bytes_are_counted_as_they_are_sent(shade):
    """A text has more of them than characters."""
    text = json.dumps({"type": "größe"}, ensure_ascii=False)
    socket = FullSocket({"text": text}, 1, awaited=1)
    async with session_of(shade, socket) as counts:
        async with asyncio.timeout(DEADLINE):
            await socket.answered.wait()
        assert counts.bytes_in == len(text.encode())
