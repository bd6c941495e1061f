"""Follows a job to its end by server-sent events; where the stream breaks, it polls and resumes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import httpx2

from project.cli.connection import ErrorResponse, RequestFailed, RetryPolicy, Server, json_object

View = dict[str, Any]  # a job as the API represents it

ENDED = {"succeeded", "failed", "cancelled"}
REQUIRED = ("id", "status")
STREAM_TIMEOUT = httpx2.Timeout(45, connect=5)  # a stream sends something every 15 s
POLLING = RetryPolicy()  # where the server has none
NO_CONTENT = 204  # the job has ended, and its last event was delivered


def path_of(job_id: str) -> str:
    """Path of a job. Raises ErrorResponse for an invalid id, as the server does."""
    if not job_id.isalnum() or not job_id.isascii():
        raise ErrorResponse(f"Job not found: {job_id} is not a job id", code=404)
    return f"/v1/jobs/{job_id}"


async def follow(server: Server, job: View, show: Callable[[View], None]) -> View:
    """The job once it has ended. show: called at every change on the way.

    Raises ErrorResponse where the job is gone, and Unreachable where the server is, for
    longer than its retry policy allows.
    """
    policy = server.retry or POLLING
    pause, last = policy.first_pause, ""
    while job["status"] not in ENDED:
        pause = min(2 * pause, policy.max_pause)
        with suppress(RequestFailed):  # the request below decides whether it was temporary
            async with _stream(server, job["id"], last) as answer:
                if answer.status_code != NO_CONTENT:
                    async for event in httpx2.EventSource(answer):
                        job, last, pause = _view(event.data), event.id, policy.first_pause
                        show(job)
        if job["status"] in ENDED:
            break
        await policy.sleep(pause)
        job = await server.request("GET", path_of(job["id"]), required=REQUIRED)
        show(job)
    return job


def _stream(server: Server, job_id: str, last: str) -> AbstractAsyncContextManager[httpx2.Response]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    return server.stream(
        "GET", f"{path_of(job_id)}/events", headers=headers, timeout=STREAM_TIMEOUT
    )


def _view(data: str) -> View:
    """The job in an event. Raises ErrorResponse where the event has none."""
    view = json_object(data.encode())
    if not view.keys() >= set(REQUIRED):
        raise ErrorResponse("the server sent an event that is not a job", code=0)
    return view
