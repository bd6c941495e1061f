"""Who is refused: where there is no place, or the wait would be too long."""

import asyncio

import pytest

from project.errors import Overloaded
from project.inference import admission
from tests.conftest import make_settings, picture
from tests.unit.test_model_queue import PARAMS, run, serving


def test_beyond_the_limit_a_caller_is_told_when_to_come_back(shade):
    """A full queue answers at once and leaves those inside alone."""

    async def test() -> None:
        async with serving(shade, make_settings(queue_limit=2)) as runner:
            shade.go_on.clear()
            inside = [
                asyncio.create_task(runner.predict("shade", picture(), PARAMS)) for _ in range(2)
            ]
            await asyncio.to_thread(shade.entered.wait)
            with pytest.raises(Overloaded) as refused:
                await runner.predict("shade", picture(), PARAMS)
            assert int(refused.value.headers["Retry-After"]) >= 1
            shade.go_on.set()
            assert len(await asyncio.gather(*inside)) == 2
            assert (await runner.predict("shade", picture(), PARAMS)).result.label == "light"

    run(test)


def test_an_idle_hour_refuses_nobody(shade):
    """Waits are guessed from what predictions take, not from how seldom they come."""

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            queue = runner.queues["shade"]
            with runner.admit("shade"):  # somebody uploads all the while
                for _ in range(3):
                    queue._last_answer -= 3600.0
                    await runner.predict("shade", picture(), PARAMS)
                assert queue._mean_seconds < queue._deadline / 2
                assert queue.overload() is None

    run(test)


def test_who_would_wait_too_long_is_refused_at_once(shade, monkeypatch):
    """An answer that comes too late costs as much as one in time."""
    monkeypatch.setattr(admission, "BRIEF_SECONDS", 0.0)

    async def test() -> None:
        async with serving(shade, make_settings(queue_seconds=10)) as runner:
            queue = runner.queues["shade"]
            queue._mean_seconds = 6.0
            with runner.admit("shade") as first, runner.admit("shade") as second:
                assert queue.overload() is not None  # their pictures may be there at once
                async with asyncio.timeout(60):
                    while queue._places.waiting:  # noqa: ASYNC110 - it is time that is awaited
                        await asyncio.sleep(0)
                assert queue.overload() is None  # who goes on uploading keeps nobody waiting
                queue.keep(first)
                assert queue.overload() is None  # however slow it is, one runs and one waits
                queue.keep(second)
                overload = queue.overload()
            assert overload is not None
            assert overload.retry_after == 12

    run(test)


def test_a_stall_of_a_moment_changes_little_and_a_slower_machine_much(shade):
    """Where waits are guessed from the last answer alone, one hiccup turns everybody away."""

    async def test() -> None:
        async with serving(shade, make_settings()) as runner:
            queue = runner.queues["shade"]
            for _ in range(1000):
                queue._learn(0.004, 1)
            assert queue._mean_seconds == pytest.approx(0.004)
            queue._learn(0.1, 1)
            assert queue._mean_seconds < 0.0045
            for _ in range(600):
                queue._learn(0.016, 2)
            assert queue._mean_seconds == pytest.approx(0.008, rel=0.02)

    run(test)
