"""A small load balancer: least connections first; a host that fails is taken out.

It runs on the clients' side, so a failure here is what a client would see of a lost host.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Self

import httpx2

from drills.hosts.host import LONG, QUICK
from drills.traffic import picture
from drills.waiting import DEADLINE

TRY_SECONDS = 6.0  # time limit of one host; it answers in a hundredth of that
SERVER_ERROR = 500
IMAGE = {"Content-Type": "image/png"}


class Balancer:
    """Sends each request to one of the hosts, and to another where that one does not answer.

    urls: host → its API. failed: host → failed requests. jobs: ids of the accepted jobs.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self.failed: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.jobs: list[str] = []
        self._urls = dict(urls)
        self._open = dict.fromkeys(urls, 0)
        self._admitted = set(urls)
        self._changed = threading.Condition()
        self._client = httpx2.Client(timeout=TRY_SECONDS)
        self._pictures = 0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def admit(self, host: str) -> None:
        """Send requests to a host again."""
        with self._changed:
            self._admitted.add(host)
            self._changed.notify_all()

    def predict(self) -> None:
        """Request a prediction. Raises TimeoutError where no host is left."""
        self._post(f"/v1/models/{QUICK}/predictions", {})

    def submit(self) -> str:
        """Submit a job; returns its id. Raises TimeoutError where no host is left."""
        key = {"Idempotency-Key": uuid.uuid4().hex}  # at another host it is the same job
        job_id = str(self._post(f"/v1/models/{LONG}/jobs", key).json()["id"])
        with self._changed:
            self.jobs.append(job_id)
        return job_id

    def _post(self, path: str, headers: Mapping[str, str]) -> httpx2.Response:
        with self._changed:
            self._pictures += 1
            body = picture(self._pictures)
        while True:
            host = self._acquire()
            try:
                url = f"{self._urls[host]}{path}"
                answer = self._client.post(url, content=body, headers={**IMAGE, **headers})
                good = answer.status_code < SERVER_ERROR
            except httpx2.TransportError:
                good = False
            self._release(host, good=good)
            if good:
                return answer.raise_for_status()

    def _acquire(self) -> str:
        """The next host; its open requests are one more."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._admitted, DEADLINE):
                raise TimeoutError("no host answers")
            host = min(
                sorted(self._admitted), key=lambda name: (self._open[name], self.answered[name])
            )
            self._open[host] += 1
            return host

    def _release(self, host: str, *, good: bool) -> None:
        with self._changed:
            self._open[host] -= 1
            (self.answered if good else self.failed)[host] += 1
            if not good:
                self._admitted.discard(host)


class Clients:
    """Clients that request a prediction, a prediction and a job in turn while the body runs.

    An error that a client sees is raised at the end of the body.
    """

    number = 3
    pause_seconds = 0.25

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._over = threading.Event()
        self._errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._call) for _ in range(self.number)]

    def __enter__(self) -> Self:
        """Start the clients."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_what: object) -> None:
        """Let each client finish its action."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _call(self) -> None:
        actions = (self._balancer.predict, self._balancer.predict, self._balancer.submit)
        try:
            while True:
                for action in actions:
                    action()
                    if self._over.wait(self.pause_seconds):
                        return
        except Exception as error:  # noqa: BLE001 - raised where the body ends
            self._errors.append(error)
