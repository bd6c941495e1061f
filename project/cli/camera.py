"""A camera for `stream`: sends frames at a steady rate, and reports the answers each second.

It does not wait for answers, so it shows what the server drops.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from project.cli.connection import (
    ErrorResponse,
    Server,
    Unreachable,
    json_object,
    refusal_line,
)
from project.cli.inputs import IMAGE, InputSpec, files_of, items, main_input, read, read_text
from project.cli.output import plain
from project.cli.served_model import details_of, inputs_of
from project.errors import ConfigurationError

SUBPROTOCOL = Subprotocol("vitrine.v1")
LAST_SECONDS = 5.0  # for the answers to the last frames
OPEN_SECONDS = 10.0

Echo = Callable[[str], None]


@dataclass(frozen=True)
class Camera:
    """What a command asks for. named, params: name and value, as they were written."""

    model: str
    paths: Sequence[Path]
    named: Sequence[tuple[str, str]]
    params: Sequence[tuple[str, str]]
    fps: float
    seconds: float


@dataclass
class Report:
    """What came back, in total or in the last second."""

    began: float = field(default_factory=time.monotonic)
    ages: list[float] = field(default_factory=list)
    problems: int = 0

    def line(self, dropped: int) -> str:
        """Answers in a second, their age, and what else happened."""
        rate = len(self.ages) / max(time.monotonic() - self.began, 1e-9)
        ages = sorted(self.ages)
        age = (
            f"age {_milliseconds(ages, 0.5)} ms, p95 {_milliseconds(ages, 0.95)} ms"
            if ages
            else "no answer"
        )
        failed = f", {self.problems} failed" if self.problems else ""
        return f"{rate:.1f} answers/s, {age}, {dropped} dropped{failed}"


def _milliseconds(ages: Sequence[float], share: float) -> str:
    return f"{1000 * ages[min(len(ages) - 1, int(share * len(ages)))]:.0f}"


async def play(url: str, camera: Camera, echo: Echo) -> bool:
    """Play the files to a server; returns whether a frame failed.

    echo: prints a line. Raises ProjectError for what is wrong with the command, or where the
    server does not answer or ends the session.
    """
    async with Server(url) as server:
        details = await details_of(server, camera.model)
    path = details.get("stream")
    if not path:
        raise ConfigurationError(f"{camera.model} has no live stream: it runs in the background")
    takes = inputs_of(details)
    held, frames = _messages(camera, takes)
    query = f"?{urlencode(camera.params)}" if camera.params else ""
    address = f"ws{server.url.removeprefix('http')}{path}{query}"
    try:
        async with connect(
            address,
            subprotocols=[SUBPROTOCOL],
            additional_headers=server.key_headers,  # a redirect to another host loses them
            max_size=None,
            open_timeout=OPEN_SECONDS,
        ) as connection:
            return await _Session(connection, camera, echo).run(held, frames)
    except InvalidStatus as error:
        document = json_object(bytes(error.response.body or b""))
        status = error.response.status_code
        raise ErrorResponse(refusal_line(document, status), code=status) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        reason = plain(str(error) or type(error).__name__)
        raise Unreachable(f"no stream at {server.url}: {reason}") from error


def _messages(camera: Camera, takes: Sequence[InputSpec]) -> tuple[list[str], list[bytes | str]]:
    """The message with the inputs that all frames share, if there are any, and the frames.

    Raises ConfigurationError.
    """
    main = main_input(takes)
    frames = items(camera.model, takes, files_of(camera.paths, takes), camera.named)
    kinds = {spec.name: spec.kind for spec in takes}
    own = {main.name} if main else set()
    shared = {name: value for name, value in frames[0].inputs.items() if name not in own}
    held = {name: _encoded(value, kinds[name]) for name, value in shared.items()}
    first = [json.dumps({"type": "inputs", "inputs": held})] if held else []
    return first, [_frame({name: item.inputs[name] for name in own}, kinds) for item in frames]


def _frame(inputs: dict[str, Path | str], kinds: dict[str, str]) -> bytes | str:
    for name, value in inputs.items():
        if kinds[name] == IMAGE and isinstance(value, Path):
            return read(value)
    encoded = {name: _encoded(value, kinds[name]) for name, value in inputs.items()}
    return json.dumps({"type": "frame", "inputs": encoded})


def _encoded(value: Path | str, kind: str) -> str:
    if isinstance(value, str):
        return value
    return base64.b64encode(read(value)).decode() if kind == IMAGE else read_text(value)


class _Session:
    """One session: a task sends, another one reads."""

    def __init__(self, connection: ClientConnection, camera: Camera, echo: Echo) -> None:
        self._connection = connection
        self._camera = camera
        self._echo = echo
        self._sent = 0
        self._settled = 0  # the newest frame that is answered, or failed
        self._dropped = 0
        self._problem = ""
        self._total = Report()
        self._second = Report()
        self._sending = True

    async def run(self, held: Sequence[str], frames: Sequence[bytes | str]) -> bool:
        """Send frames for as long as the command says; returns whether one failed.

        held: messages before them, with what all of them share.
        """
        hello = json_object(_bytes(await self._connection.recv()))
        if hello.get("type") != "hello":
            raise ErrorResponse(_problem(hello), code=0)
        limit = int(hello["limits"]["frame_bytes"])
        if too_large := [len(it) for it in (*held, *frames) if len(it) > limit]:
            raise ConfigurationError(
                f"a frame has {max(too_large):,} bytes, and the server takes {limit:,}: scale it"
            )
        self._total = Report()
        for message in held:
            await self._connection.send(message)
        tasks = [asyncio.create_task(part) for part in (self._send(frames), self._report())]
        try:
            await self._read()
        except ConnectionClosed as error:
            raise ErrorResponse(self._problem or plain(str(error)), code=0) from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._echo(f"in all {self._sent} frames: {self._total.line(self._dropped)}")
        if self._problem:
            self._echo(f"the last that failed: {self._problem}")
        return self._total.problems > 0

    async def _send(self, frames: Sequence[bytes | str]) -> None:
        """Send at a steady rate, whatever comes back."""
        began = time.monotonic()
        for number, frame in enumerate(cycle(frames)):
            due = number / self._camera.fps
            if due >= self._camera.seconds:
                break
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            await self._connection.send(frame)
            self._sent += 1
        self._sending = False

    async def _report(self) -> None:
        while True:
            before, self._second = self._dropped, Report()
            await asyncio.sleep(1)
            self._echo(self._second.line(self._dropped - before))

    async def _read(self) -> None:
        """Read until the last frame is settled, or nothing comes any more."""
        while self._sending or self._settled < self._sent:
            try:
                async with asyncio.timeout(max(LAST_SECONDS, 2 / self._camera.fps)):
                    message = json_object(_bytes(await self._connection.recv()))
            except TimeoutError:
                if not self._sending:
                    break
                continue
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        self._settled = max(self._settled, int(message.get("frame") or 0))
        if message.get("type") == "answer":
            self._dropped = int(message["dropped"])
            for report in (self._total, self._second):
                report.ages.append(float(message["age"]))
        elif message.get("type") == "problem":
            self._problem = _problem(message)
            for report in (self._total, self._second):
                report.problems += 1


def _problem(message: dict[str, Any]) -> str:
    problem = message.get("problem")
    document = problem if isinstance(problem, dict) else {}
    status = document.get("status")
    return refusal_line(document, status if isinstance(status, int) else 0)


def _bytes(message: bytes | str) -> bytes:
    return message.encode() if isinstance(message, str) else message
