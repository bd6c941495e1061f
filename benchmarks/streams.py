"""Live streams beside a plain FastAPI server: `python -m benchmarks.streams`.

One stream that sends the next frame on each answer; 20 cameras; 20 cameras beside four clients of
classification; sessions that come and go; and last, 20 cameras for minutes, for the memory. The age
of an answer is measured by the client, from sending a frame to its answer.
"""

import argparse
import asyncio
import io
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from math import isnan
from typing import Any

import httpx2
from PIL import Image
from skimage import data as pictures
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.paths import CORES, VAR, environment
from benchmarks.processes import Server, ask, free_port, running
from benchmarks.sections import STREAMS, write_section
from benchmarks.stats import median, quantile
from benchmarks.subjects import product
from benchmarks.tables import Lines, spread, table

SIZE = (640, 480)
QUALITY = 80
CAMERAS = 20
FPS = 24
CALLERS = 4
SESSIONS = 2000
AT_ONCE = 8
ROUNDS = 3
CALLED = "classification"
LEAST = 0.1  # a ratio to less than this says nothing
HEALTH_SECONDS = 0.1  # between two requests for /health
SAMPLE_SECONDS = 10  # between two readings of the memory
RESULTS = VAR / "streams.json"
SUBJECTS = ("vitrine", "queue per socket")
ABOUT = """\
`python -m benchmarks.streams {given.model}`: {given.rounds} rounds of {given.seconds:g} s a load, \
the cameras and the clients of requests on the same {cores} cores; the median, with the least and \
the most. Cameras send {fps} JPEGs a second of 640 x 480 pixels with one face; the requests ask \
for {called}. The peer is FastAPI with a queue of four frames for each socket, which drops when it \
is full, and the same models."""
BOUNDS = {  # what is promised of two cores
    "1 stream: answers/s": "≥ 15",
    "1 stream: age p95, ms": "≤ 150",
    "20 streams: fewest answers/s of a stream": "≥ 1",
    "20 streams: greatest age, ms": "≤ 1000",
    "20 streams: /health, slowest, ms": "≤ 100",
    "20 streams and 4 callers: share of what they have alone": "≥ 0.33",
    "2,000 sessions: still open": "0",
}
OPEN = re.compile(r"^websocket_connections_active(?:\{\})? ([\d.]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Subject:
    """A server under test. model: that of its streams."""

    server: Server
    model: str
    says_hello: bool

    def session(self) -> connect:
        """A new session."""
        url = f"ws://127.0.0.1:{self.server.port}/v1/models/{self.model}/stream"
        return connect(url, compression=None, max_size=None)


@dataclass
class Seen:
    """What came back. ages, latencies, health: seconds, of answers, requests and /health."""

    ages: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    by_camera: list[int] = field(default_factory=list)
    refused: int = 0
    sent: int = 0


@contextmanager
def subject(name: str, model: str) -> Iterator[Subject]:
    """A server, ready."""
    models = ",".join(dict.fromkeys([model, CALLED]))
    if name == SUBJECTS[0]:
        settings: dict[str, Any] = {
            "MODELS": models,
            "JOBS": "off",
            "STREAM_FRAMES_PER_SECOND": 1000,
        }
        with product("streams", **settings) as server:
            yield Subject(server, model, says_hello=True)
        return
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "benchmarks.peers.fastapi.streams_app:app"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(CORES)),
        *("--no-access-log", "--log-level", "warning"),
    ]
    with running(
        command,
        port=port,
        variables=environment(BENCH_MODELS=models),
        name="streams-peer",
        ready=lambda server: (
            server.log().count("model_ready") >= CORES
            and ask(server.port, "GET", "/openapi.json").status > 0
        ),
    ) as server:
        yield Subject(server, model, says_hello=False)


def frame() -> bytes:
    """A camera's picture: a person, from the breast upwards."""
    buffer = io.BytesIO()
    photo = Image.fromarray(pictures.astronaut())  # type: ignore[no-untyped-call]
    photo.crop((0, 0, 512, 384)).resize(SIZE).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


@asynccontextmanager
async def opened(tested: Subject) -> AsyncIterator[ClientConnection]:
    """A session whose hello is read."""
    async with tested.session() as session:
        if tested.says_hello:
            hello = json.loads(await session.recv())
            if hello["type"] != "hello":
                raise RuntimeError(hello)
        yield session


async def closed_loop(tested: Subject, data: bytes, seconds: float) -> Seen:
    """One stream whose next frame is sent on the answer to the last."""
    seen, end = Seen(), time.perf_counter() + seconds
    async with opened(tested) as session:
        while (before := time.perf_counter()) < end:
            await session.send(data)
            await session.recv()
            seen.ages.append(time.perf_counter() - before)
    return seen


async def camera(tested: Subject, data: bytes, seconds: float, phase: float, seen: Seen) -> None:
    """A steady rate of frames, whatever comes back."""
    sent: dict[int, float] = {}
    answers = 0
    async with opened(tested) as session:

        async def read() -> None:
            nonlocal answers
            async for message in session:
                now, answer = time.perf_counter(), json.loads(message)
                if answer["type"] == "answer":
                    answers += 1
                    seen.ages.append(now - sent[answer["frame"]])

        reading = asyncio.create_task(read())
        began = time.perf_counter() + phase
        for number in count(1):
            due = began + (number - 1) / FPS
            if due - began >= seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent[number] = time.perf_counter()
            await session.send(data)
        seen.sent += len(sent)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    seen.by_camera.append(answers)


async def caller(tested: Subject, data: bytes, end: float, seen: Seen) -> None:
    """A client of predictions, which sends the next request on the answer to the last."""
    base = f"http://127.0.0.1:{tested.server.port}"
    async with httpx2.AsyncClient(base_url=base, timeout=60) as client:
        while (before := time.perf_counter()) < end:
            headers = {"Content-Type": "image/jpeg"}
            path = f"/v1/models/{CALLED}/predictions"
            answer = await client.post(path, content=data, headers=headers)
            if answer.status_code == httpx2.codes.OK:
                seen.latencies.append(time.perf_counter() - before)
            else:
                seen.refused += 1


async def watch_health(tested: Subject, end: float, seen: Seen) -> None:
    """A balancer that asks for /health again and again, over one connection."""
    base = f"http://127.0.0.1:{tested.server.port}"
    async with httpx2.AsyncClient(base_url=base, timeout=60) as client:
        while (before := time.perf_counter()) < end:
            (await client.get("/health")).raise_for_status()
            seen.health.append(time.perf_counter() - before)
            await asyncio.sleep(HEALTH_SECONDS)


async def crowd(
    tested: Subject, data: bytes, seconds: float, *, cameras: int, callers: int
) -> Seen:
    """Cameras and clients of predictions at the same time."""
    seen, end = Seen(), time.perf_counter() + seconds
    await asyncio.gather(
        *(camera(tested, data, seconds, it / cameras / FPS, seen) for it in range(cameras)),
        *(caller(tested, data, end, seen) for _ in range(callers)),
        watch_health(tested, end, seen),
    )
    return seen


async def soak(tested: Subject, data: bytes, seconds: float) -> list[int]:
    """Bytes of the server (PSS) while the cameras send, read every few seconds."""
    readings: list[int] = []
    crowding = asyncio.create_task(crowd(tested, data, seconds, cameras=CAMERAS, callers=0))
    while not crowding.done():
        readings.append(await asyncio.to_thread(lambda: tested.server.memory()[0]))
        await asyncio.wait([crowding], timeout=SAMPLE_SECONDS)
    await crowding
    return readings


async def churn(tested: Subject) -> float:
    """Sessions that open and leave, half of them without a word. Returns seconds."""
    gate, before = asyncio.Semaphore(AT_ONCE), time.perf_counter()

    async def one(number: int) -> None:
        async with gate, opened(tested) as session:
            if number % 2:
                session.transport.abort()

    await asyncio.gather(*map(one, range(SESSIONS)))
    return time.perf_counter() - before


def measure(tested: Subject, seconds: float) -> dict[str, float]:
    """All figures of one round."""
    data = frame()
    asyncio.run(closed_loop(tested, data, 1))  # the first frames prepare the net
    began = _processor_seconds(tested)
    alone = asyncio.run(closed_loop(tested, data, seconds))
    between = _processor_seconds(tested)
    many = asyncio.run(crowd(tested, data, seconds, cameras=CAMERAS, callers=0))
    ended = _processor_seconds(tested)
    requests = asyncio.run(crowd(tested, data, seconds, cameras=0, callers=CALLERS))
    mixed = _processor_seconds(tested)
    both = asyncio.run(crowd(tested, data, seconds, cameras=CAMERAS, callers=CALLERS))
    mixed = _processor_seconds(tested) - mixed
    before = tested.server.memory()[0]
    rested = _processor_seconds(tested)
    churned = asyncio.run(churn(tested))
    return {
        "1 stream: answers/s": len(alone.ages) / seconds,
        "1 stream: age p50, ms": 1000 * quantile(alone.ages, 0.5),
        "1 stream: age p95, ms": 1000 * quantile(alone.ages, 0.95),
        "1 stream: ms of processors an answer": 1000 * (between - began) / max(1, len(alone.ages)),
        "20 streams: ms of processors an answer": 1000 * (ended - between) / max(1, len(many.ages)),
        "20 streams: answers/s": len(many.ages) / seconds,
        "20 streams: age p50, ms": 1000 * quantile(many.ages, 0.5),
        "20 streams: age p95, ms": 1000 * quantile(many.ages, 0.95),
        "20 streams: greatest age, ms": 1000 * max(many.ages, default=float("nan")),
        "20 streams: fewest answers/s of a stream": min(many.by_camera) / seconds,
        "20 streams: /health, slowest, ms": 1000 * max(many.health),
        "4 callers alone: requests/s": len(requests.latencies) / seconds,
        "4 callers alone: p95, ms": 1000 * quantile(requests.latencies, 0.95),
        "20 streams and 4 callers: answers/s": len(both.ages) / seconds,
        "20 streams and 4 callers: age p95, ms": 1000 * quantile(both.ages, 0.95),
        "20 streams and 4 callers: requests/s": len(both.latencies) / seconds,
        "20 streams and 4 callers: share of what they have alone": len(both.latencies)
        / max(1, len(requests.latencies)),
        "20 streams and 4 callers: request p95, ms": 1000 * quantile(both.latencies, 0.95),
        "20 streams and 4 callers: ms of processors an answer": 1000
        * mixed
        / max(1, len(both.ages) + len(both.latencies)),
        "20 streams and 4 callers: refused": both.refused,
        "2,000 sessions: opens and closes/s": SESSIONS / churned,
        "2,000 sessions: ms of processors a session": 1000
        * (_processor_seconds(tested) - rested)
        / SESSIONS,
        "2,000 sessions: MiB gained": (tested.server.memory()[0] - before) / 2**20,
        "2,000 sessions: still open": _still_open(tested),
    }


def _processor_seconds(tested: Subject) -> float:
    """Processor time of all processes of the server so far: it does not depend on their share."""
    times = [process.cpu_times() for process in tested.server.family()]
    return sum(it.user + it.system for it in times)


def _still_open(tested: Subject) -> float:
    """Sessions that the server still counts a second later; NaN where it counts none."""
    if not tested.says_hello:
        return float("nan")
    time.sleep(1)
    found = OPEN.search(ask(tested.server.port, "GET", "/metrics").body.decode())
    return float(found[1]) if found else float("nan")


def report(found: dict[str, list[dict[str, float]]]) -> Lines:
    """The table: the median of each figure with the least and the most, and the ratio to the peer.

    The ratio is that of the medians.
    """
    ours, other = (found[name] for name in SUBJECTS)
    rows = []
    for name in ours[0]:
        left, right = ([it[name] for it in rounds] for rounds in (ours, other))
        digits = 2 if "share" in name else 1
        cells = ["" if isnan(it[0]) else spread(it, digits=digits) for it in (left, right)]
        ratio = f"{median(left) / median(right):.2f}" if median(right) >= LEAST else ""
        rows.append((name, BOUNDS.get(name, ""), *cells, ratio))
    return table(("", "bound", *SUBJECTS, "ratio"), rows)


def main() -> None:
    """Measure both servers in turn, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.add_argument(
        "model", nargs="?", default="detection", help="a model of pictures that answers at once"
    )
    parser.add_argument("--seconds", type=float, default=8, help="length of each load")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--soak", type=float, default=300, help="seconds of the last load; 0: none")
    given = parser.parse_args()
    found: dict[str, Any] = {name: [] for name in SUBJECTS}
    for number in range(given.rounds):
        for name in SUBJECTS:
            with subject(name, given.model) as tested:
                found[name].append(measure(tested, given.seconds))
            print(f"round {number + 1}, {name}: {found[name][-1]}", flush=True)
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps({"model": given.model, "rounds": found}, indent=1) + "\n")
    about = ABOUT.format(given=given, cores=CORES, fps=FPS, called=CALLED)
    lines = [about, "", *report(found)]
    if given.soak:
        with subject(SUBJECTS[0], given.model) as tested:
            readings = asyncio.run(soak(tested, frame(), given.soak))
        mib = ", ".join(f"{reading / 2**20:.0f}" for reading in readings)
        lines.append(
            f"MiB of all of Vitrine's processes (PSS), each {SAMPLE_SECONDS} s under {CAMERAS} "
            f"streams: {mib}."
        )
    print("\n".join(lines))
    write_section(STREAMS, "\n".join(lines))


if __name__ == "__main__":
    main()
