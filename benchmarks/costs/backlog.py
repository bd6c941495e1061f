"""The cost of a backlog: waiting rows and messages, and the queries over all of them."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from benchmarks.costs.deployment import LONG, Deployment
from benchmarks.stats import median
from project.db.engine import open_database
from project.db.job_queries import JobQueries
from project.jobs.queue import QueueReader, keys_of
from project.jobs.sweep import GRACE_SECONDS, MAX_SENT, MESSAGE_SECONDS

ROUNDS = 15
COLUMNS = (
    "model, model_version, params, inputs, revision, progress, attempts, created_at, started_at, "
    "lease_owner, cancel_requested, result, seconds, fingerprint, request_id, traceparent"
)
T = TypeVar("T")


def row_bytes(deployment: Deployment, rows: int) -> float:
    """Bytes of a succeeded job in the table and its indexes."""
    size = "SELECT pg_total_relation_size('jobs') AS bytes"
    before = asyncio.run(deployment.meters.run(size))[0]["bytes"]
    _copy(deployment, rows, "succeeded", "NULL")
    return float(asyncio.run(deployment.meters.run(size))[0]["bytes"] - before) / rows


def query_times(deployment: Deployment, waiting: int) -> dict[str, float]:
    """Query → milliseconds that it takes while so many jobs wait."""
    _copy(deployment, waiting, "accepted", "0")
    _fill(deployment, waiting)

    async def measure() -> dict[str, float]:
        async with open_database(deployment.settings) as engine:
            jobs, now = JobQueries(engine), time.time()
            due = lambda: jobs.due(  # noqa: E731 - one of several queries
                now, MAX_SENT, grace=GRACE_SECONDS, resend_after=MESSAGE_SECONDS
            )
            return {
                "rows: may another job come (each submission)": await _milliseconds(
                    jobs.count_waiting
                ),
                "rows: is one left lying (each sweep)": await _milliseconds(due),
                "rows: has one lost its message (every 15 s)": await _milliseconds(
                    lambda: jobs.waiting_since(now - MESSAGE_SECONDS, MAX_SENT)
                ),
            }

    found = asyncio.run(measure())
    queue = QueueReader(deployment.meters.valkey)
    used = deployment.meters.read()
    began = time.perf_counter()
    for _ in range(ROUNDS):
        queue.waiting_jobs([LONG])
    found["messages: which jobs have one (then too)"] = (
        1000 * (time.perf_counter() - began) / ROUNDS
    )
    after = deployment.meters.read()
    for name, scale in (("Valkey: CPU seconds", 1000.0), ("Valkey: bytes out", 1.0)):
        found[f"of that, {name}"] = scale * (after[name] - used[name]) / ROUNDS
    asyncio.run(deployment.meters.run("DELETE FROM jobs WHERE status = 'accepted'"))
    deployment.meters.valkey.delete(*keys_of(LONG))
    return found


async def _milliseconds(query: Callable[[], Awaitable[T]]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await query()
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


def _copy(deployment: Deployment, rows: int, status: str, sent_at: str) -> None:
    """Copy a succeeded row so often, with another status and time."""
    finished = "finished_at" if status == "succeeded" else "NULL"
    statement = (
        f"INSERT INTO jobs (id, status, sent_at, finished_at, {COLUMNS}) "  # noqa: S608 - ours
        f"SELECT lpad(to_hex(n), 8, '0') || substr(md5(n::text || '{status}'), 1, 24), "
        f"'{status}', {sent_at}, {finished}, {COLUMNS} "
        f"FROM (SELECT * FROM jobs WHERE status = 'succeeded' LIMIT 1) AS one, "
        f"generate_series(1, {rows}) AS n"
    )
    asyncio.run(deployment.meters.run(statement))
    asyncio.run(deployment.meters.run("VACUUM ANALYZE jobs"))


def _fill(deployment: Deployment, messages: int) -> None:
    """Put messages into the queue as the product does, for jobs that nobody knows."""
    pipeline, keys = deployment.meters.valkey.pipeline(), keys_of(LONG)
    for _ in range(messages):
        number = str(uuid.uuid4())
        options = {
            "enqueued_at": time.time(),
            "redis_message_id": number,
            "request_id": uuid.uuid4().hex,
            "traceparent": "0" * 55,
        }
        message = {
            "queue_name": LONG,
            "actor_name": "run_job",
            "args": [uuid.uuid4().hex],
            "kwargs": {},
            "options": options,
            "message_id": str(uuid.uuid4()),
            "message_timestamp": round(time.time() * 1000),
        }
        pipeline.hset(keys.messages, number, json.dumps(message, separators=(",", ":")))
        pipeline.rpush(keys.ready, number)
    pipeline.execute()
