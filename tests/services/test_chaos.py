"""All that runs jobs dies again and again while they are sent: none is lost, none doubled."""

import asyncio
import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from drills.audit import ends, watch_ends
from drills.job_workers import JobWorkers, run_job_workers
from drills.server import Server
from drills.source_tree import copy_tree
from drills.stack import PLUGINS
from drills.waiting import DEADLINE, wait_until
from project.db.engine import open_database
from tests.conftest import picture
from tests.database import Jobs, database_settings
from tests.services.server import serve
from tests.services.stack import KINDS, standing

JOBS = 12
CLIENTS = 8
KILL_SECONDS, KILLS = 2.0, 4  # each costs a start, which takes seconds of processor time
MODEL, SECONDS = "drill_job", 1  # a job that waits so long, where the processor has other work
SIZE = (40, 30)
END_DEADLINE = 420.0
POLL_SECONDS = 0.25


def submit(server: Server, body: bytes) -> str:
    """Submit a job, again with the same key until there is a response."""
    headers = {"Content-Type": "image/jpeg", "Idempotency-Key": uuid.uuid4().hex}
    url = f"{server.url}/v1/models/{MODEL}/jobs?seconds={SECONDS}"
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
    """Kill a worker that runs a job every few seconds, KILLS in all; yields their pids."""
    killed: list[int] = []
    over = threading.Event()
    chance = random.Random(4)

    def kill() -> None:
        while len(killed) < KILLS and not over.wait(KILL_SECONDS):
            at_work = busy(crew)
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


def busy(crew: JobWorkers) -> set[int]:
    """The pids of workers that have a job in hand, according to the log."""
    running: dict[str, int] = {}
    for line in crew.records():
        if line["message"] == "job_started":
            running[line["job_id"]] = line["pid"]
        elif line["message"] == "job_ended":
            running.pop(line["job_id"], None)
    return set(running.values())


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
    body = picture("JPEG", size=SIZE)
    tree = copy_tree(tmp_path / "tree", [PLUGINS / f"{MODEL}.py"])
    with ExitStack() as stack:
        base = stack.enter_context(standing(kind, tmp_path))
        given = {**base.variables, "MODELS": MODEL, "JOB_ATTEMPTS": 50, "WORKER_NICE": 0}
        server = stack.enter_context(serve(tmp_path, app=None, root=tree, **given))
        clients = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        with (
            run_job_workers(tmp_path, root=tree, WORKER_PROCESSES=3, **given) as crew,
            killing(crew) as killed,
        ):
            asyncio.run(watch_ends(base.database_url))
            first = [clients.submit(submit, server, body) for _ in range(JOBS // 2)]
            until_succeeded(JOBS // 6, base.database_url)
            base.valkey.kill()
            second = [clients.submit(submit, server, body) for _ in range(JOBS - JOBS // 2)]
            wait_until(lambda: server.records("job_not_sent"), "a job comes without a broker")
            base.valkey.start()
            server.reload()
            until_succeeded(JOBS // 2, base.database_url)
            base.valkey.stop()
            base.valkey.start()
            sent = first + second
            until_succeeded(JOBS, base.database_url)
            while len(killed) < KILLS:
                sent.append(clients.submit(submit, server, body))
                until_succeeded(len(sent), base.database_url)
            ids = [answer.result() for answer in sent]
        assert len(set(ids)) == len(sent)
        noted = asyncio.run(ends(base.database_url))
        assert Counter(noted) == {(job_id, "succeeded"): 1 for job_id in ids}
        results = list(clients.map(lambda job_id: download(server, job_id), ids))
        assert set(results) == {SIZE[0] * SIZE[1]}


def download(server: Server, job_id: str) -> int:
    """The pixels that a job's result counts, fetched as a client does."""
    url = f"{server.url}/v1/jobs/{job_id}/result"
    answer = httpx2.get(url, follow_redirects=True, timeout=DEADLINE)
    assert answer.status_code == 200, answer.text
    assert f"{job_id}.json" in answer.headers["Content-Disposition"]
    return int(answer.json()["pixels"])
