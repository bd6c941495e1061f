"""A job's events: each change once, to its end, across a lost connection and a lost database."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, aclosing, closing

import pytest

from project.api.jobs.events import COMMENT, MAX_SUBSCRIBERS, JobFeed, stream
from project.db.job_queries import JobQueries
from project.db.records import Job, StoredFile
from project.errors import RateLimited
from tests.database import Jobs, added
from tests.job_api import JobApi, Stream, job_api, job_settings

pytestmark = pytest.mark.anyio
RESULT = StoredFile(key="jobs/1/result", media_type="image/png", size=3)


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


def read(piece: str | None) -> tuple[int, dict]:
    """The id and the data of an event."""
    assert piece is not None
    kind, number, data, *rest = piece.split("\n")
    assert (kind, rest) == ("event: job", ["", ""])
    return int(number.removeprefix("id: ")), json.loads(data.removeprefix("data: "))


async def succeed(jobs: Jobs, job_id: str) -> None:
    assert await jobs.transitions.succeed(job_id, "worker", time.time(), RESULT, {})


async def follow(api: JobApi, job_id: str) -> Stream:
    """A stream of a running job whose first event was read."""
    following = Stream(api.app, f"/v1/jobs/{job_id}/events")
    await following.start()
    assert read(await following.next())[1]["status"] == "running"
    return following


async def test_each_change_is_sent_until_the_job_has_ended(api):
    """An event holds what GET returns."""
    job_id = (await api.submit())["id"]
    following = Stream(api.app, f"/v1/jobs/{job_id}/events")
    status, headers = await following.start()
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    first, view = read(await following.next())
    assert view == (await api.client.get(f"/v1/jobs/{job_id}")).json()
    assert await api.jobs.transitions.claim(job_id, "worker", 1e9, 1e10)
    second, view = read(await following.next())
    assert (second > first, view["status"]) == (True, "running")
    await succeed(api.jobs, job_id)
    assert read(await following.next())[1]["status"] == "succeeded"
    assert await following.next() is None
    await following.task


async def test_a_client_that_reconnects_misses_nothing_and_sees_nothing_twice(api):
    """Last-Event-ID is the revision of the last event that it saw."""
    job = await api.running()
    path = f"/v1/jobs/{job.id}/events"
    before = Stream(api.app, path)
    await before.start()
    seen, _ = read(await before.next())
    before.disconnect()
    await before.task
    again = Stream(api.app, path, **{"last-event-id": str(seen)})
    assert (await again.start())[0] == 200
    await succeed(api.jobs, job.id)
    last, view = read(await again.next())
    assert (last, view["status"]) == (seen + 1, "succeeded")
    assert await again.next() is None
    over = await api.client.get(path, headers={"Last-Event-ID": str(last)})
    assert (over.status_code, over.content) == (204, b"")
    missed = await api.client.get(path, headers={"Last-Event-ID": str(seen)})
    assert read(missed.text)[0] == last


async def test_an_unknown_last_event_id(api):
    """One beyond all revisions is ignored; a malformed one is rejected."""
    job = await api.running()
    await succeed(api.jobs, job.id)
    path = f"/v1/jobs/{job.id}/events"
    for header in ("999999", ""):
        answer = await api.client.get(path, headers={"Last-Event-ID": header})
        assert read(answer.text)[1]["status"] == "succeeded"
    for header in ("x", "-1", "1" * 16, "1.0", "٣".encode()):
        answer = await api.client.get(path, headers={"Last-Event-ID": header})
        assert answer.status_code == 422
        assert "Last-Event-ID" in answer.json()["errors"]


async def test_all_clients_of_a_job_see_the_same(api):
    """They share one poll."""
    job = await api.running()
    streams = [await follow(api, job.id) for _ in range(3)]
    await succeed(api.jobs, job.id)
    pieces = [await following.next() for following in streams]
    assert len(set(pieces)) == 1
    assert [await following.next() for following in streams] == [None] * 3


async def test_a_job_that_was_deleted_ends_its_stream(api, tmp_path):
    """The client reconnects, gets a 404 and gives up."""
    following = await follow(api, (await api.running()).id)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as other, other:
        other.execute("DELETE FROM jobs")
    assert await following.next() is None


async def test_streams_end_when_the_server_process_ends(api):
    """No shutdown waits for them; their clients reconnect to another worker."""
    job = await api.running()
    streams = [await follow(api, job.id) for _ in range(3)]
    api.state["application"].stopped_listening()
    assert [await following.next() for following in streams] == [None] * 3
    late = await api.client.get(f"/v1/jobs/{job.id}/events")
    assert read(late.text)[1]["status"] == "running"


async def test_too_many_streams_are_refused(api):
    """503 with Retry-After, until one ends."""
    job = await api.running()
    path = f"/v1/jobs/{job.id}/events"
    with ExitStack() as others:
        for _ in range(MAX_SUBSCRIBERS):
            others.enter_context(api.job_services.feed.subscribe(job))
        answer = await api.client.get(path)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    await succeed(api.jobs, job.id)
    assert (await api.client.get(path)).status_code == 200


async def test_one_user_has_half_of_the_streams_at_most(feed, queries):
    """Others are served; a stream that ends makes room."""
    job = await added(queries.jobs)
    with ExitStack() as streams:
        for _ in range(MAX_SUBSCRIBERS // 2):
            feed.check_capacity("ann")
            streams.enter_context(feed.subscribe(job, "ann"))
        with pytest.raises(RateLimited):
            feed.check_capacity("ann")
        feed.check_capacity("bob")
        feed.check_capacity()
    feed.check_capacity("ann")


class PolledQueries(JobQueries):
    """Keeps the ids of each poll."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__(jobs.engine)
        self.jobs = jobs
        self.polls: asyncio.Queue[set[str]] = asyncio.Queue()

    async def get_many(self, job_ids: Sequence[str]) -> list[Job]:
        try:
            return await super().get_many(job_ids)
        finally:
            self.polls.put_nowait(set(job_ids))


@pytest.fixture
def queries(api) -> PolledQueries:
    return PolledQueries(api.jobs)


@pytest.fixture
async def feed(queries) -> AsyncIterator[JobFeed]:
    """A feed that polls at once."""
    feed = JobFeed(queries, poll_seconds=0.001, retry_seconds=0.001)
    yield feed
    await feed.aclose()


async def test_only_jobs_that_clients_follow_are_polled(api, feed, queries):
    """The last client to leave ends the polling."""
    one, other = await added(api.jobs), await added(api.jobs)

    async def until_polled(*jobs: Job) -> None:
        while await queries.polls.get() != {job.id for job in jobs}:
            pass

    with feed.subscribe(one), feed.subscribe(one):
        with feed.subscribe(other):
            await until_polled(one, other)
        await until_polled(one)
    queries.polls = asyncio.Queue()
    await asyncio.sleep(0.1)
    assert queries.polls.qsize() <= 1  # a poll that had begun
    with feed.subscribe(other):
        await until_polled(other)


async def test_a_silent_stream_sends_comments(api, feed):
    """Clients ignore them, and proxies keep the connection open."""
    job = await api.running()
    async with asyncio.timeout(60), aclosing(stream(feed, job, None, 0.01)) as pieces:
        assert read(await anext(pieces))[0] == job.revision
        assert [await anext(pieces) for _ in range(3)] == [COMMENT] * 3


async def test_an_unavailable_database_costs_no_event(api, feed, queries, tmp_path):
    """The stream goes on with the changes since."""
    job = await api.running()
    async with asyncio.timeout(60), aclosing(stream(feed, job, None, 3600)) as pieces:
        assert read(await anext(pieces))[0] == job.revision
        with closing(sqlite3.connect(tmp_path / "jobs.db")) as other:
            other.execute("ALTER TABLE jobs RENAME TO away")
            queries.polls = asyncio.Queue()
            for _ in range(3):
                await queries.polls.get()
            other.execute("ALTER TABLE away RENAME TO jobs")
        await succeed(api.jobs, job.id)
        assert read(await anext(pieces))[1]["status"] == "succeeded"
        assert [piece async for piece in pieces] == []


async def test_a_change_while_an_event_is_sent_is_not_lost(api, feed, queries):
    """A slow client gets the newest state, not every one between."""
    job = await api.running()
    async with asyncio.timeout(60), aclosing(stream(feed, job, None, 3600)) as pieces:
        await anext(pieces)
        await api.jobs.transitions.renew(job.id, "worker", 1e9, 1e10, 0.5)
        await succeed(api.jobs, job.id)
        queries.polls = asyncio.Queue()
        for _ in range(2):  # the first may have begun before the change
            await queries.polls.get()
        assert read(await anext(pieces))[1]["status"] == "succeeded"
        assert [piece async for piece in pieces] == []
