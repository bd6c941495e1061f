"""All that runs jobs dies again and again while they are sent: none is lost, none doubled."""

import asyncio
import io
import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import psutil
import pytest
from PIL import Image
from skimage import data

from drills.audit import ends, watch_ends
from drills.job_workers import JobWorkers, run_job_workers
from drills.server import Server
from drills.waiting import DEADLINE, wait_until
from project.db.engine import open_database
from tests.database import Jobs, database_settings
from tests.services.server import serve
from tests.services.stack import KINDS, standing

JOBS = 12
CLIENTS = 8
KILL_SECONDS, KILLS = 2.0, 3
MODEL = "background_removal"
END_DEADLINE = 420.0
POLL_SECONDS = 0.25


def photo() -> bytes:
    """A picture whose cut takes a tenth of a second or so."""
    buffer = io.BytesIO()
    Image.fromarray(data.chelsea()).resize((160, 106)).save(buffer, "JPEG")
    return buffer.getvalue()


def submit(server: Server, body: bytes) -> str:
    """Submit a job, again with the same key until there is a response."""
    headers = {"Content-Type": "image/jpeg", "Idempotency-Key": uuid.uuid4().hex}
    url = f"{server.url}/v1/models/{MODEL}/jobs?iterations=2"
    answers: list[httpx2.Response] = []

    def answered() -> bool:
        with suppress(httpx2.TransportError):
            answers.append(httpx2.post(url, content=body, headers=headers, timeout=DEADLINE))
        return bool(answers) and answers[-1].status_code < 500

    wait_until(answered, "a job is accepted")
    assert answers[-1].status_code == 202, answers[-1].text
    return str(answers[-1].json()["id"])


@contextmanager
def killing(crew: JobWorkers) -> Iterator[list[int]]:
    """Kill a random worker every few seconds while the context is open; yields their pids."""
    killed: list[int] = []
    over = threading.Event()
    chance = random.Random(4)

    def kill() -> None:
        while not over.wait(KILL_SECONDS):
            at_work = {line["pid"] for line in crew.records("job_started")}
            alive = [worker for worker in crew.workers() if worker.pid in at_work]
            if alive:  # on a slow machine all may still start
                victim = chance.choice(alive)
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
                    killed.append(victim.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def until_succeeded(count: int, url: str) -> None:
    """Wait until so many jobs have succeeded."""

    async def wait() -> None:
        async with open_database(database_settings(url)) as engine, asyncio.timeout(END_DEADLINE):
            while await Jobs.of(engine).count("succeeded") < count:  # noqa: ASYNC110 - rows send no events
                await asyncio.sleep(POLL_SECONDS)

    asyncio.run(wait())


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("kind", KINDS)
def test_no_job_is_lost_or_doubled_whatever_dies(tmp_path: Path, kind: str):
    """Workers by SIGKILL every few seconds, the broker twice, the API reloaded while they come."""
    body = photo()
    with standing(kind, tmp_path) as stack:
        given = {**stack.variables, "MODELS": MODEL, "JOB_ATTEMPTS": 50, "WORKER_NICE": 0}
        with (
            serve(tmp_path, app=None, **given) as server,
            run_job_workers(tmp_path, WORKER_PROCESSES=3, **given) as crew,
            killing(crew) as killed,
            ThreadPoolExecutor(CLIENTS) as clients,
        ):
            asyncio.run(watch_ends(stack.database_url))
            first = [clients.submit(submit, server, body) for _ in range(JOBS // 2)]
            until_succeeded(JOBS // 6, stack.database_url)
            stack.valkey.kill()
            second = [clients.submit(submit, server, body) for _ in range(JOBS - JOBS // 2)]
            wait_until(lambda: server.records("job_not_sent"), "a job comes without a broker")
            stack.valkey.start()
            server.reload()
            until_succeeded(JOBS // 2, stack.database_url)
            stack.valkey.stop()
            stack.valkey.start()
            sent = first + second
            until_succeeded(JOBS, stack.database_url)
            while len(killed) < KILLS:
                sent.append(clients.submit(submit, server, body))
                until_succeeded(len(sent), stack.database_url)
            ids = [answer.result() for answer in sent]
        assert len(set(ids)) == len(sent)
        noted = asyncio.run(ends(stack.database_url))
        assert Counter(noted) == {(job_id, "succeeded"): 1 for job_id in ids}
        with (
            serve(tmp_path, app=None, **given) as server,
            ThreadPoolExecutor(CLIENTS) as clients,
        ):
            results = list(clients.map(lambda job_id: download(server, job_id), ids))
        assert set(results) == {(160, 106)}


def download(server: Server, job_id: str) -> tuple[int, int]:
    """The size of a job's result, fetched as a client does."""
    url = f"{server.url}/v1/jobs/{job_id}/result"
    answer = httpx2.get(url, follow_redirects=True, timeout=DEADLINE)
    assert answer.status_code == 200, answer.text
    assert f"{job_id}.png" in answer.headers["Content-Disposition"]
    return Image.open(io.BytesIO(answer.content)).size
