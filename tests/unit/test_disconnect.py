"""Uploads time out, and work ends when its client disconnects."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request

from project.api.requests.disconnect import cancel_on_disconnect, read_with_timeout
from project.errors import ClientDisconnected, SlowUpload


def request_that_receives(*messages: dict[str, object]) -> tuple[Request, asyncio.Event]:
    """A request whose client sends these and then nothing; the event is set after the last."""
    queue = list(messages)
    silent = asyncio.Event()

    async def receive() -> dict[str, object]:
        if queue:
            return queue.pop(0)
        silent.set()
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"type": "http", "headers": []}, receive), silent


def test_work_is_cancelled_when_its_client_disconnects():
    """Its slot is free again, and the net does not run in vain."""

    async def test() -> None:
        request, _ = request_that_receives({"type": "http.disconnect"})
        cancelled = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        with pytest.raises(ClientDisconnected):
            await cancel_on_disconnect(request, work())
        await cancelled.wait()

    asyncio.run(test())


def test_a_request_that_is_cancelled_elsewhere_is_not_counted_as_a_disconnect():
    """At shutdown the client is still connected, and the metrics must not say otherwise."""

    async def test() -> None:
        request, silent = request_that_receives()
        served = asyncio.create_task(cancel_on_disconnect(request, asyncio.sleep(3600)))
        await silent.wait()
        served.cancel()
        with pytest.raises(asyncio.CancelledError):
            await served

    asyncio.run(test())


def test_work_for_a_connected_client_returns_its_result_or_its_error():
    """And no task is left behind."""

    async def test() -> None:
        request, silent = request_that_receives()

        async def work() -> str:
            await silent.wait()
            return "done"

        async def fail() -> None:
            raise ValueError("broken")

        assert await cancel_on_disconnect(request, work()) == "done"
        with pytest.raises(ValueError, match="broken"):
            await cancel_on_disconnect(request, fail())
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(test())


def test_a_body_that_does_not_arrive_times_out():
    """Slow uploads would hold slots for ever."""

    async def test() -> None:
        request, _ = request_that_receives(
            {"type": "http.request", "body": b"half", "more_body": True}
        )
        with pytest.raises(SlowUpload, match="send it faster"):
            await read_with_timeout(0.01, request.body())

    asyncio.run(test())


def test_a_client_that_disconnects_during_its_upload_is_reported_as_gone():
    """It is no error of ours."""

    async def leave() -> bytes:
        raise ClientDisconnect

    with pytest.raises(ClientDisconnected):
        asyncio.run(read_with_timeout(1, leave()))
