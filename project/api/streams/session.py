"""One session of a live stream: reads frames as they come, and answers the newest one in turn.

One task always reads: Uvicorn stops reading, and so hears no pong and no close, until a message is
received. Another one has the newest frame predicted and sends its answer. The session ends with
whatever happens first: the client closes or is lost, no frame comes, the server stops, or a fault
of ours.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from loguru import logger
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from project.api.problems import is_fault, log_fault
from project.api.streams import messages
from project.api.streams.inputs import StreamInputs
from project.api.streams.messages import StreamLimits
from project.errors import InvalidInput, ProjectError, StreamIdle
from project.inference.encoding import JSON, Encoding
from project.inference.frames import Frame, FrameClaim, FrameSlot, Pace
from project.inference.model_queue import Prediction
from project.inference.pipeline import Raw
from project.inference.runner import Runner
from project.models.base import AnyModel, Params
from project.observability import metrics
from project.observability.context import REQUEST_ID

SEND_SECONDS = 5.0  # a client that does not read for so long is lost
PARSE_BYTES = 1 << 16  # a longer text is parsed and validated in a thread
MESSAGES_PER_FRAME = 4  # that are read while one frame may be answered; a client sends one or two
MIN_MESSAGES_PER_SECOND = 120.0  # that are read: a camera of 60 frames, whatever is answered of it
LOG_SECONDS = 1.0  # between two log lines of failed frames: a camera sends the next one at once

CLOSED, LOST, INTERNAL, RESTART, TRY_LATER = 1000, 1006, 1011, 1012, 1013
POLICY, IDLE = 1008, 4408
REFUSAL_CODES = {401: 4401, 403: 4403, 429: 4429, 503: TRY_LATER}  # status of a problem → code
INVALID_CODES = {1002, 1003, 1007, 1009}  # the library closed: the bytes were none it can take


@dataclass(frozen=True)
class Ending:
    """How a session ends. code: of the close. error: told before it. gone: the client is."""

    code: int
    outcome: str
    error: Exception | None = None
    reason: str = ""
    gone: bool = False


def refusal(error: ProjectError) -> Ending:
    """The end of a session that may not begin, or go on."""
    return Ending(REFUSAL_CODES.get(error.status, POLICY), "refused", error)


LOST_CLIENT = Ending(LOST, "lost", gone=True)


@dataclass
class Counts:
    """What became of a session's frames; received is their sum once it has ended."""

    received: int = 0
    processed: int = 0
    dropped: int = 0
    rejected: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class StreamSession:
    """Serves one accepted WebSocket; see `serve`."""

    def __init__(
        self,
        socket: WebSocket,
        model: AnyModel,
        runner: Runner,
        inputs: StreamInputs,
        limits: StreamLimits,
        counts: Counts,
    ) -> None:
        self.counts = counts
        self._socket = socket
        self._model = model
        self._runner = runner
        self._inputs = inputs
        self._limits = limits
        self._slot = FrameSlot()
        self._pace = Pace(limits.frames_per_second)
        messages_per_second = max(
            MESSAGES_PER_FRAME * limits.frames_per_second, MIN_MESSAGES_PER_SECOND
        )
        self._read_pace = Pace(messages_per_second, burst=round(messages_per_second))
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[Ending] = self._loop.create_future()
        self._last_frame_at = self._loop.time()
        self._fault_logged_at = 0.0
        self._count = {
            result: metrics.STREAM_FRAMES.labels(model.name, result).inc
            for result in metrics.FRAME_RESULTS
        }
        self._count_input = metrics.INFERENCE_INPUTS.labels("frame").inc
        self._observe_age = metrics.STREAM_FRAME_AGE.labels(model.name).observe

    async def serve(self) -> Ending:
        """Serve until the session ends; no task of it is left then."""
        await self._send(
            messages.hello(
                REQUEST_ID.get(),
                self._model,
                self._inputs.frame_input,
                self._inputs.params,
                self._limits,
            )
        )
        self._idle_timer = self._loop.call_later(self._limits.idle_seconds, self._check_idle)
        tasks = [asyncio.create_task(self._run(part)) for part in (self._read, self._answer)]
        try:
            return await self._ending
        finally:
            self._idle_timer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._drop(self._slot.clear())

    def restart(self) -> None:
        """End the session, as the server stops or is replaced."""
        self.end(Ending(RESTART, "restart", reason="the server restarts: connect again"))

    def end(self, ending: Ending) -> None:
        """End the session; the first ending counts."""
        if not self._ending.done():
            self._ending.set_result(ending)

    async def _run(self, part: Callable[[], Coroutine[Any, Any, Ending]]) -> None:
        """Run a part of the session, and end the session with it."""
        try:
            self.end(await part())
        except WebSocketDisconnect:
            self.end(LOST_CLIENT)
        except TimeoutError:
            logger.bind(model=self._model.name).warning("stream_client_does_not_read")
            self.end(LOST_CLIENT)
        except Exception as error:  # noqa: BLE001 - a fault of ours; the client must hear of it
            logger.opt(exception=error).bind(model=self._model.name).error("stream_failed")
            self.end(Ending(INTERNAL, "error", error))

    async def _read(self) -> Ending:
        """Read messages until the client has gone, no faster than a client has reason to send.

        Others wait in the network, as Uvicorn stops reading until a message is received.
        """
        while True:
            # Also without a delay, others run meanwhile: a queue that is full suspends nothing.
            await asyncio.sleep(self._read_pace.delay())
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return _disconnected(message)
            data, text = message.get("bytes"), message.get("text")
            self.counts.bytes_in += len(data if data is not None else (text or "").encode())
            if data is not None:
                await self._put(partial(self._inputs.of_picture, data))
            else:
                await self._read_text(text or "")

    async def _read_text(self, text: str) -> None:
        """Obey a message; one that cannot be understood has a problem as its answer."""
        try:
            large = len(text) > PARSE_BYTES
            parse = partial(self._inputs.parse, text)
            parsed = await asyncio.to_thread(parse) if large else parse()
            kind = parsed.get("type")
            if kind == "frame":
                read = partial(self._inputs.of_values, parsed.get("inputs"))
                await self._put(read, in_thread=large)
            elif kind == "params":
                replace = partial(self._inputs.set_params, parsed.get("params"))
                params = await asyncio.to_thread(replace) if large else replace()
                await self._send(messages.params_accepted(params))
            elif kind == "inputs":
                await asyncio.to_thread(self._inputs.hold, parsed.get("inputs"))
            else:
                raise InvalidInput("`type` must be params, inputs or frame")
        except ProjectError as error:
            await self._send(messages.problem(error))

    async def _put(
        self, read: Callable[[], tuple[Raw, Params]], *, in_thread: bool = False
    ) -> None:
        """Have a frame wait in place of the one before. read: returns what it consists of."""
        self._last_frame_at = self._loop.time()
        received_at = time.perf_counter()
        self.counts.received += 1
        raw: Raw
        params: Params
        fault: ProjectError | None = None
        try:
            raw, params = await asyncio.to_thread(read) if in_thread else read()
        except ProjectError as error:
            raw, params, fault = {}, self._inputs.params, error
        except BaseException:  # the session ends meanwhile
            self._drop(1)
            raise
        frame = Frame(self.counts.received, raw, params, received_at, fault)
        self._drop(int(self._slot.put(frame)))

    async def _answer(self) -> Ending:
        while True:
            await self._slot.wait()
            if delay := self._pace.delay():
                await asyncio.sleep(delay)
            claim = self._slot.claim()
            try:
                prediction = await self._runner.predict_newest(
                    self._model.name, claim, Encoding(JSON)
                )
            except ProjectError as error:
                await self._reject(claim, error)
            except BaseException:
                self._drop(int(claim.end() is not None))
                raise
            else:
                await self._send_answer(claim, prediction)

    async def _send_answer(self, claim: FrameClaim, prediction: Prediction) -> None:
        frame = claim.end()
        if frame is None:
            raise RuntimeError("an answer without a frame")
        age = time.perf_counter() - frame.received_at
        self.counts.processed += 1
        self._count["processed"]()
        self._count_input()
        self._observe_age(age)
        await self._send(messages.answer(frame, prediction, age, self.counts.dropped))

    async def _reject(self, claim: FrameClaim, error: ProjectError) -> None:
        """Answer a frame with its problem; the session goes on."""
        frame = claim.end()
        if frame is None:
            return
        self.counts.rejected += 1
        self._count["rejected"]()
        now = self._loop.time()
        if is_fault(error) and now - self._fault_logged_at > LOG_SECONDS:
            log_fault(error)
            self._fault_logged_at = now
        await self._send(messages.problem(error, frame.number))

    def _drop(self, frames: int) -> None:
        if frames:
            self.counts.dropped += frames
            self._count["dropped"](frames)

    def _check_idle(self) -> None:
        """End the session if no frame has come for long enough; else look again when it may be."""
        left = self._last_frame_at + self._limits.idle_seconds - self._loop.time()
        if left > 0:
            self._idle_timer = self._loop.call_later(left, self._check_idle)
            return
        advice = f"no frame came for {self._limits.idle_seconds:g} s; connect again to go on"
        self.end(Ending(IDLE, "idle", StreamIdle(advice)))

    async def _send(self, text: str) -> None:
        """Send a message. Raises TimeoutError where the client does not read."""
        self.counts.bytes_out += len(text.encode())
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(text)


def _disconnected(message: Message) -> Ending:
    """How the client has gone: by a close frame of its own, with any code or none, or otherwise.

    BoundedWebSocket says which as `by_client`; other servers, as Starlette's for tests, do not.
    """
    code = message.get("code", LOST)
    if message.get("by_client", True):
        return Ending(code, "closed", gone=True)
    if code == RESTART:
        return Ending(code, "restart", gone=True)
    if code in INVALID_CODES:
        return Ending(code, "invalid", gone=True)
    return LOST_CLIENT
