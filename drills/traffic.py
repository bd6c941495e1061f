"""Mixed, bounded traffic: clients that repeat a sequence of actions and count the statuses."""

import base64
import io
import json
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
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from drills.accounts import bearer
from drills.waiting import DEADLINE

UNANSWERED = 0  # instead of a status, where the connection was refused or broke
ACCEPTED = 202
SWITCHED = 101
FRAMES = 4  # of a live stream, at once
MAX_BYTES = 65_536  # MAX_BODY_BYTES of the stack, so that a small body is too large
BURST = 24
HELD_SECONDS = 0.5  # how long each prediction of a burst takes
PROMPT = {"prompt": "a fox on blue", "steps": 2}
UNKNOWN_PROMPT = {"prompt": "zzzz", "steps": 2}  # the model knows none of its words: the job fails

Statuses = list[int]
Action = Callable[["Client"], Statuses]


def picture(number: int) -> bytes:
    """A plain image, dark for even numbers and light for odd ones; no two are the same."""
    base = 224 if number % 2 else 0
    shade = tuple(base + (number >> shift) % 32 for shift in (1, 6, 11))
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), shade).save(buffer, "PNG")
    return buffer.getvalue()


class Client:
    """A client with one connection. key: None where AUTH=off."""

    _numbers = count()  # of the images of all clients: none is sent twice by accident

    def __init__(self, url: str, key: str | None = None) -> None:
        self.headers = bearer(key) if key else {}
        self.http = httpx2.Client(base_url=url, timeout=DEADLINE, headers=self.headers)

    def picture(self) -> bytes:
        """A new image."""
        return picture(next(self._numbers))

    def post(self, path: str, data: bytes, kind: str = "image/png") -> int:
        """Send bytes; returns the status."""
        return self.http.post(path, content=data, headers={"Content-Type": kind}).status_code


def predictions(model: str) -> dict[str, Action]:
    """Requests for a prediction, valid and invalid."""
    path = f"/v1/models/{model}/predictions"
    same = picture(0)

    def multipart(client: Client) -> Statuses:
        files = {"image": ("picture.png", client.picture(), "image/png")}
        return [client.http.post(path, files=files).status_code]

    def as_json(client: Client) -> Statuses:
        body = {"image": base64.b64encode(client.picture()).decode()}
        return [client.http.post(path, json=body).status_code]

    return {
        "raw": lambda client: [client.post(path, client.picture())],
        "multipart": multipart,
        "json": as_json,
        "repeated": lambda client: [client.post(path, same)],
        "no_image": lambda client: [client.post(path, b"no image at all")],
        "too_large": lambda client: [client.post(path, bytes(MAX_BYTES + 1))],
    }


def burst(model: str) -> Action:
    """Request more slow predictions at once than the model's queue admits."""
    path = f"/v1/models/{model}/predictions?seconds={HELD_SECONDS}"

    def action(client: Client) -> Statuses:
        with ThreadPoolExecutor(BURST) as pool:
            asked = [pool.submit(client.post, path, client.picture()) for _ in range(BURST)]
            return [future.result() for future in asked]

    return action


def job(body: Mapping[str, object], *, cancel: bool = False) -> Action:
    """Submit a job of text_to_image; cancel: at once."""

    def action(client: Client) -> Statuses:
        answer = client.http.post("/v1/models/text_to_image/jobs", json=body)
        if cancel and answer.status_code == ACCEPTED:
            client.http.delete(f"/v1/jobs/{answer.json()['id']}")
        return [answer.status_code]

    return action


def stream(model: str) -> Action:
    """Open a live stream, send frames that are too many and one that is broken, and close it."""

    def action(client: Client) -> Statuses:
        url = f"ws{str(client.http.base_url).removeprefix('http').rstrip('/')}"
        path = f"{url}/v1/models/{model}/stream"
        with connect(path, additional_headers=client.headers) as session:
            session.recv(timeout=DEADLINE)
            for _ in range(FRAMES):
                session.send(client.picture())
            session.recv(timeout=DEADLINE)
            session.send(b"no image at all")
            while json.loads(session.recv(timeout=DEADLINE))["type"] != "problem":
                pass
        return [SWITCHED]

    return action


def guess(client: Client) -> Statuses:
    """Send a refresh token that does not exist."""
    body = {"refresh_token": "a guess"}
    return [client.http.post("/v1/tokens/refresh", json=body).status_code]


def get(path: str) -> Action:
    """GET a path."""
    return lambda client: [client.http.get(path).status_code]


def healthy(model: str = "drill") -> dict[str, Action]:
    """Actions of clients on a good day; those that are refused are the clients' fault."""
    return {
        **predictions(model),
        "metadata": get("/metadata"),
        "models": get("/v1/models"),
        "unknown": get("/v1/no/such/route"),
        "stream": stream(model),
        "job": job(PROMPT),
        "cancelled_job": job(PROMPT, cancel=True),
    }


@dataclass
class Traffic:
    """Clients while the context is open, each with so many actions a second at most.

    key: that they send. outcomes: (action, status) → count.
    """

    url: str
    actions: Mapping[str, Action]
    key: str | None = None
    clients: int = 2
    per_second: float = 5
    outcomes: Counter[tuple[str, int]] = field(default_factory=Counter)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start the clients."""
        self._threads = [threading.Thread(target=self._call) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_what: object) -> None:
        """Let each client finish its action."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def count(self, *actions: str, status: int | None = None) -> int:
        """Number of requests of these actions, or of all, with a status."""
        with self._changed:
            return sum(
                number
                for (action, answered), number in self.outcomes.items()
                if (not actions or action in actions) and status in {None, answered}
            )

    def await_each(self, times: int, deadline: float = DEADLINE) -> None:
        """Wait until each action has been repeated so often. Raises TimeoutError."""

        def done() -> bool:
            return all(self.count(action) >= times for action in self.actions)

        with self._changed:
            if not self._changed.wait_for(done, deadline):
                raise TimeoutError(f"not within {deadline:g} s: {times} of each {self.outcomes}")

    def _call(self) -> None:
        client = Client(self.url, self.key)
        with client.http:
            for name, action in cycle(self.actions.items()):
                began = time.monotonic()
                try:
                    statuses = action(client)
                except (httpx2.TransportError, WebSocketException, OSError):
                    statuses = [UNANSWERED]
                with self._changed:
                    self.outcomes.update((name, status) for status in statuses)
                    self._changed.notify_all()
                if self._over.wait(max(0.0, began + 1 / self.per_second - time.monotonic())):
                    break
