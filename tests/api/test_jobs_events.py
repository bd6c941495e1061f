"""A job's events: each change once, to its end, across a lost connection and a lost database."""

import asyncio
import json
import sqlite3
import time
from contextlib import closing

import pytest

from project.api.jobs import feed
from project.api.jobs.events import stream
from project.api.jobs.feed import JobFeed
from project.db.job_transitions import StoredFile
from tests.job_api import JobApi, Stream, job_api, job_settings

pytestmark = pytest.mark.anyio
RESULT = StoredFile(key="jobs/1/result", media_type="image/png", size=3)


@pytest.fixture
async def api(tmp_path):
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        yield api


def read(piece: str | None) -> tuple[int, dict]:
    """The id and the data of one event."""
    assert piece is not None
    kind, number, data, *rest = piece.split("\n")
    assert (kind, rest) == ("event: job", ["", ""])
    return int(number.removeprefix("id: ")), json.loads(data.removeprefix("data: "))


async def succeed(api: JobApi, job_id: str) -> None:
    assert await api.jobs.succeed(job_id, "worker", time.time(), RESULT, {})


async def test_each_change_is_told_until_the_job_has_ended(api):
    """What GET shows, as it changes; then the stream ends."""
    job_id = (await api.submit())["id"]
    following = Stream(api.app, f"/v1/jobs/{job_id}/events")
    status, headers = await following.start()
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    first, view = read(await following.next())
    assert view == (await api.client.get(f"/v1/jobs/{job_id}")).json()
    assert await api.jobs.claim(job_id, "worker", 1e9, 1e10)
    second, view = read(await following.next())
    assert (second > first, view["status"]) == (True, "running")
    await api.jobs.renew(job_id, "worker", 1e9, 1e10, 0.5)
    assert read(await following.next())[1]["progress"] == 0.5
    await succeed(api, job_id)
    assert read(await following.next())[1]["status"] == "succeeded"
    assert await following.next() is None
    await following.task


async def test_a_client_that_comes_back_misses_nothing_and_sees_nothing_twice(api):
    """Last-Event-ID is the revision; what it has seen is not sent."""
    job = await api.running()
    path = f"/v1/jobs/{job.id}/events"
    before = Stream(api.app, path)
    await before.start()
    seen, _ = read(await before.next())
    before.leave()
    await before.task
    again = Stream(api.app, path, **{"last-event-id": str(seen)})
    assert (await again.start())[0] == 200
    await succeed(api, job.id)
    last, view = read(await again.next())
    assert (last, view["status"]) == (seen + 1, "succeeded")
    assert await again.next() is None
    over = await api.client.get(path, headers={"Last-Event-ID": str(last)})
    assert (over.status_code, over.content) == (204, b"")
    missed = await api.client.get(path, headers={"Last-Event-ID": str(seen)})
    assert read(missed.text)[0] == last


async def test_an_id_from_elsewhere_counts_for_nothing(api):
    """One beyond all revisions would else wait for ever, and a word is refused."""
    job = await api.running()
    await succeed(api, job.id)
    path = f"/v1/jobs/{job.id}/events"
    for header in ("999999", ""):
        answer = await api.client.get(path, headers={"Last-Event-ID": header})
        assert read(answer.text)[1]["status"] == "succeeded"
    for header in ("x", "-1", "1" * 16, "1.0", "٣".encode()):
        answer = await api.client.get(path, headers={"Last-Event-ID": header})
        assert answer.status_code == 422
        assert "Last-Event-ID" in answer.json()["errors"]


async def test_nothing_is_asked_for_clients_that_have_left(api):
    """Neither while others watch nor after."""
    watched = api.desk.feed._watched
    one, other = await api.running("one"), await api.running("other")
    streams = [Stream(api.app, f"/v1/jobs/{job.id}/events") for job in (one, one, other)]
    for following in streams:
        await following.start()
        await following.next()
    assert set(watched) == {one.id, other.id}
    streams[0].leave()
    await streams[0].task
    assert set(watched) == {one.id, other.id}
    streams[1].leave()
    await streams[1].task
    assert set(watched) == {other.id}
    streams[2].leave()
    await streams[2].task
    assert watched == {}
    looking = api.desk.feed._looking
    assert looking is not None
    await looking  # it ends by itself


async def test_all_who_watch_a_job_see_the_same(api):
    """Who comes later begins with what is."""
    job = await api.running()
    streams = [Stream(api.app, f"/v1/jobs/{job.id}/events") for _ in range(3)]
    for following in streams:
        await following.start()
        assert read(await following.next())[1]["status"] == "running"
    await succeed(api, job.id)
    pieces = [await following.next() for following in streams]
    assert len(set(pieces)) == 1
    assert [await following.next() for following in streams] == [None] * 3


async def test_a_silent_stream_says_now_and_then_that_it_lives(api):
    """A comment, which clients pass over."""
    job = await api.running()
    async with asyncio.timeout(60):
        pieces = stream(api.desk.feed, job, None, comment_seconds=0.01)
        assert read(await anext(pieces))[0] == job.revision
        assert [await anext(pieces) for _ in range(3)] == [": still here\n\n"] * 3
        await pieces.aclose()
    assert api.desk.feed._watched == {}


async def test_a_database_that_is_gone_for_a_while_costs_no_event(api, tmp_path):
    """The stream goes on, and tells what happened meanwhile."""
    job = await api.running()
    pieces = stream(api.desk.feed, job, None, comment_seconds=0.1)
    assert read(await anext(pieces))[0] == job.revision
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as other:
        other.execute("ALTER TABLE jobs RENAME TO away")
        assert await api.desk.feed._look_once() == feed.PAUSE_SECONDS
        assert await anext(pieces) == ": still here\n\n"
        other.execute("ALTER TABLE away RENAME TO jobs")
    await succeed(api, job.id)
    while (piece := await anext(pieces)) == ": still here\n\n":
        pass
    assert read(piece)[1]["status"] == "succeeded"
    assert [piece async for piece in pieces] == []


async def test_a_job_that_is_no_longer_there_ends_its_stream(api, tmp_path):
    """Asked again, it is a 404, and an EventSource gives up."""
    job = await api.running()
    following = Stream(api.app, f"/v1/jobs/{job.id}/events")
    await following.start()
    await following.next()
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as other, other:
        other.execute("DELETE FROM jobs")
    assert await following.next() is None


async def test_streams_end_when_the_worker_leaves(api):
    """At once, so that no shutdown waits for them; their clients come back to another worker."""
    job = await api.running()
    streams = [Stream(api.app, f"/v1/jobs/{job.id}/events") for _ in range(3)]
    for following in streams:
        await following.start()
        await following.next()
    api.services.leave()
    assert [await following.next() for following in streams] == [None] * 3
    late = await api.client.get(f"/v1/jobs/{job.id}/events")
    assert read(late.text)[1]["status"] == "running"


async def test_too_many_streams_are_refused(api, monkeypatch):
    """503 with Retry-After; who left makes room."""
    monkeypatch.setattr(feed, "MAX_WATCHERS", 1)
    job = await api.running()
    path = f"/v1/jobs/{job.id}/events"
    first = Stream(api.app, path)
    await first.start()
    await first.next()
    answer = await api.client.get(path)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    first.leave()
    await first.task
    await succeed(api, job.id)
    assert (await api.client.get(path)).status_code == 200


async def test_a_change_while_an_event_goes_out_is_not_lost(api):
    """A slow reader gets the newest state, not every one between."""
    job = await api.running()
    looks = JobFeed(api.jobs)
    pieces = stream(looks, job, None, comment_seconds=3600)
    await anext(pieces)
    await api.jobs.renew(job.id, "worker", 1e9, 1e10, 0.5)
    await looks._look_once()
    await succeed(api, job.id)
    await looks._look_once()
    async with asyncio.timeout(60):
        assert read(await anext(pieces))[1]["status"] == "succeeded"
    assert [piece async for piece in pieces] == []
