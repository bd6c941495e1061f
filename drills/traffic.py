"""Mixed, bounded traffic: callers who do one thing after another and note how each was answered."""

import base64
import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Self

import httpx2
from PIL import Image

from drills.waiting import DEADLINE

UNANSWERED = 0  # in the place of a status, where nobody listened or the connection broke
ACCEPTED = 202
MAX_BYTES = 65_536  # what MAX_BODY_BYTES is to be, so that a small body is too large
BURST = 24
HELD_SECONDS = 0.5  # how long each prediction of a burst takes
PROMPT = {"prompt": "a fox on blue", "steps": 2}
UNKNOWN_PROMPT = {"prompt": "zzzz", "steps": 2}  # no word of it is known: the job fails

Statuses = list[int]
Deed = Callable[["Caller"], Statuses]


def picture(number: int) -> bytes:
    """A plain picture, dark for even numbers and light for odd ones; each number has its own."""
    base = 224 if number % 2 else 0
    shade = tuple(base + (number >> shift) % 32 for shift in (1, 6, 11))
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), shade).save(buffer, "PNG")
    return buffer.getvalue()


class Caller:
    """One who calls, over one connection."""

    _numbers = count()  # of all callers' pictures: none is sent twice, unless that is meant

    def __init__(self, url: str) -> None:
        self.client = httpx2.Client(base_url=url, timeout=DEADLINE)

    def picture(self) -> bytes:
        """A new one."""
        return picture(next(self._numbers))

    def post(self, path: str, data: bytes, kind: str = "image/png") -> int:
        """Send bytes; returns the status."""
        return self.client.post(path, content=data, headers={"Content-Type": kind}).status_code


def predictions(model: str) -> dict[str, Deed]:
    """The ways to ask a model for a prediction, good and bad."""
    path = f"/v1/models/{model}/predictions"
    same = picture(0)

    def multipart(caller: Caller) -> Statuses:
        files = {"image": ("picture.png", caller.picture(), "image/png")}
        return [caller.client.post(path, files=files).status_code]

    def as_json(caller: Caller) -> Statuses:
        body = {"image": base64.b64encode(caller.picture()).decode()}
        return [caller.client.post(path, json=body).status_code]

    return {
        "raw": lambda caller: [caller.post(path, caller.picture())],
        "multipart": multipart,
        "json": as_json,
        "repeated": lambda caller: [caller.post(path, same)],
        "no_image": lambda caller: [caller.post(path, b"no image at all")],
        "too_large": lambda caller: [caller.post(path, bytes(MAX_BYTES + 1))],
    }


def burst(model: str) -> Deed:
    """Ask for more slow predictions at once than the model's queue takes."""
    path = f"/v1/models/{model}/predictions?seconds={HELD_SECONDS}"

    def deed(caller: Caller) -> Statuses:
        with ThreadPoolExecutor(BURST) as pool:
            asked = [pool.submit(caller.post, path, caller.picture()) for _ in range(BURST)]
            return [future.result() for future in asked]

    return deed


def job(body: Mapping[str, object], *, cancel: bool = False) -> Deed:
    """Send a job of text_to_image, and perhaps cancel it at once."""

    def deed(caller: Caller) -> Statuses:
        answer = caller.client.post("/v1/models/text_to_image/jobs", json=body)
        if cancel and answer.status_code == ACCEPTED:
            caller.client.delete(f"/v1/jobs/{answer.json()['id']}")
        return [answer.status_code]

    return deed


def get(path: str) -> Deed:
    """Ask for a page."""
    return lambda caller: [caller.client.get(path).status_code]


def healthy(model: str = "drill") -> dict[str, Deed]:
    """What callers do on a good day; some of it is refused, and none of that is our fault."""
    return {
        **predictions(model),
        "metadata": get("/metadata"),
        "models": get("/v1/models"),
        "unknown": get("/v1/no/such/route"),
        "job": job(PROMPT),
        "cancelled_job": job(PROMPT, cancel=True),
    }


@dataclass
class Traffic:
    """Callers for the length of the body, each with so many deeds a second at most.

    outcomes: (deed, status) → how often.
    """

    url: str
    deeds: Mapping[str, Deed]
    callers: int = 2
    per_second: float = 5
    outcomes: Counter[tuple[str, int]] = field(default_factory=Counter)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin."""
        self._threads = [threading.Thread(target=self._call) for _ in range(self.callers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_what: object) -> None:
        """Let each finish what it does."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def count(self, *deeds: str, status: int | None = None) -> int:
        """How many requests of these deeds, or of all, were answered so."""
        with self._changed:
            return sum(
                number
                for (deed, answered), number in self.outcomes.items()
                if (not deeds or deed in deeds) and status in {None, answered}
            )

    def await_each(self, times: int, deadline: float = DEADLINE) -> None:
        """Wait until each deed has been done so often. Raises TimeoutError."""

        def done() -> bool:
            return all(self.count(deed) >= times for deed in self.deeds)

        with self._changed:
            if not self._changed.wait_for(done, deadline):
                raise TimeoutError(f"not within {deadline:g} s: {times} of each {self.outcomes}")

    def _call(self) -> None:
        caller = Caller(self.url)
        with caller.client:
            for name, deed in cycle(self.deeds.items()):
                began = time.monotonic()
                try:
                    statuses = deed(caller)
                except httpx2.TransportError:
                    statuses = [UNANSWERED]
                with self._changed:
                    self.outcomes.update((name, status) for status in statuses)
                    self._changed.notify_all()
                if self._over.wait(max(0.0, began + 1 / self.per_second - time.monotonic())):
                    break
