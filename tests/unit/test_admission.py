"""Places: bounded, given back by those who dawdle, and free again whatever happens."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack

import pytest

from project.errors import Overloaded
from project.inference import admission as module
from project.inference.admission import UPLOADS_A_PLACE, Admission, Slot
from project.inference.runner import Runner
from project.observability import metrics
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel, ShadeParams

DEPTH = metrics.INFERENCE_QUEUE_DEPTH.labels("places")


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(test())


async def given_back(place: Slot) -> None:
    """Wait for the second that an upload may take."""
    async with asyncio.timeout(60):
        while place.held:  # noqa: ASYNC110 - it is time itself that is awaited
            await asyncio.sleep(0.01)


def test_a_place_is_free_again_whatever_happens_in_it():
    """An error gives it back as an answer does."""

    async def test() -> None:
        places = Admission(1, DEPTH.set)

        def fail() -> None:
            with places.take():
                assert places.full
                assert DEPTH._value.get() == 1
                raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            fail()
        assert not places.full
        assert (places.taken, DEPTH._value.get()) == (0, 0)

    run(test)


def test_who_dawdles_gives_his_place_to_the_next_and_takes_another_at_the_end():
    """A slow upload costs others nothing; kept in time, a place stays."""

    async def test() -> None:
        places = Admission(1, DEPTH.set)
        with places.take() as slow:
            assert places.full
            await given_back(slow)
            assert places.taken == 0
            with places.take() as quick:
                quick.keep()
                slow.keep()
                assert places.taken == 2  # who asks in between decides; see Lane.run
        assert places.taken == 0

    run(test)


def test_an_upload_counts_as_waiting_until_it_is_seen_to_be_slow(monkeypatch):
    """Else more are let in while their pictures come than can be served in time."""
    monkeypatch.setattr(module, "BRIEF_SECONDS", 0.0)

    async def test() -> None:
        places = Admission(4, DEPTH.set)
        with places.take() as quick, places.take() as slow:
            with places.take():
                assert places.waiting == 3
            quick.keep()
            assert places.waiting == 2
            async with asyncio.timeout(60):
                while places.waiting > 1:  # noqa: ASYNC110 - it is time itself that is awaited
                    await asyncio.sleep(0)
            assert slow.held  # the picture may still take its second
            slow.keep()
            assert places.waiting == 2

    run(test)


def test_a_place_that_is_kept_is_never_given_back(monkeypatch):
    """However long the prediction takes."""
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.0)

    async def test() -> None:
        places = Admission(1, DEPTH.set)
        with places.take() as place:
            place.keep()
            for _ in range(10):
                await asyncio.sleep(0)
            assert place.held
            assert places.full

    run(test)


def test_uploads_without_a_place_have_a_bound_too(monkeypatch):
    """Each may hold a body's worth of memory."""
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.0)

    async def test() -> None:
        places = Admission(2, DEPTH.set)
        with ExitStack() as uploads:
            for _ in range(2 * UPLOADS_A_PLACE):
                assert not places.crowded
                await given_back(uploads.enter_context(places.take()))
            assert places.taken == 0
            assert places.crowded
            assert not places.full  # whose picture has come may have one
        assert not places.crowded

    run(test)


def test_a_picture_that_comes_late_to_a_full_lane_is_refused(monkeypatch):
    """Its place was given to others, who are served."""
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.0)
    shade = ShadeModel()

    async def test() -> None:
        async with Runner([shade], make_settings(queue_limit=1)) as runner:
            shade.entered.clear()
            shade.go_on.clear()
            with runner.admit("shade") as late:
                await given_back(late)
                inside = asyncio.create_task(runner.predict("shade", picture(), ShadeParams()))
                await asyncio.to_thread(shade.entered.wait)
                with pytest.raises(Overloaded):
                    await runner.run("shade", late, picture(), ShadeParams())
                shade.go_on.set()
                await inside
                answer = await runner.run("shade", late, picture(), ShadeParams())
                assert answer.result.label == "light"

    run(test)


def test_an_upload_that_has_ended_is_served_however_many_still_go_on(monkeypatch):
    """It has been sent; to refuse it would have been in vain."""
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.0)
    shade = ShadeModel()

    async def test() -> None:
        async with Runner([shade], make_settings(queue_limit=1)) as runner:
            with ExitStack() as uploads:
                for _ in range(UPLOADS_A_PLACE):
                    place = uploads.enter_context(runner.admit("shade"))
                    await given_back(place)
                with pytest.raises(Overloaded), runner.admit("shade"):
                    pass
                answer = await runner.run("shade", place, picture(), ShadeParams())
                assert answer.result.label == "light"

    run(test)
