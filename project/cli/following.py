"""Follows a job to its end by server-sent events; where the stream breaks, it asks and goes on."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import httpx2

from project.cli.connection import Patience, Refused, Server, Trouble, as_object

View = dict[str, Any]  # a job as the API shows it

ENDED = {"succeeded", "failed", "cancelled"}
NEEDED = ("id", "status")
SILENCE = httpx2.Timeout(45, connect=5)  # a stream says something every 15 s
LOOK = Patience()
NO_CONTENT = 204  # the job has ended, and its last event was seen


def path_of(job_id: str) -> str:
    """Where a job is. Raises Refused for what can be no id, as the server would."""
    if not job_id.isalnum() or not job_id.isascii():
        raise Refused(f"Job not found: {job_id} is no id of a job", code=404)
    return f"/v1/jobs/{job_id}"


async def follow(server: Server, job: View, show: Callable[[View], None]) -> View:
    """The job once it has ended; it is shown at every change on the way.

    Raises Refused where the job is gone, Unreachable where the server is, for longer than its
    patience.
    """
    look = server.patience or LOOK
    pause, last = look.first, ""
    while job["status"] not in ENDED:
        pause = min(2 * pause, look.longest)
        with suppress(Trouble):  # asking tells whether it has passed, or raises it
            async with _stream(server, job["id"], last) as answer:
                if answer.status_code != NO_CONTENT:
                    async for event in httpx2.EventSource(answer):
                        job, last, pause = _view(event.data), event.id, look.first
                        show(job)
        if job["status"] in ENDED:
            break
        await look.sleep(pause)
        job = await server.ask("GET", path_of(job["id"]), having=NEEDED)
        show(job)
    return job


def _stream(server: Server, job_id: str, last: str) -> AbstractAsyncContextManager[httpx2.Response]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    return server.stream("GET", f"{path_of(job_id)}/events", headers=headers, timeout=SILENCE)


def _view(data: str) -> View:
    """The job in an event. Raises Refused where there is none."""
    view = as_object(data.encode())
    if not view.keys() >= set(NEEDED):
        raise Refused("the server sent an event that is no job", code=0)
    return view
