"""Admission: bounded, slots given back by slow uploads, and free again whatever happens."""

import asyncio
from contextlib import ExitStack

import pytest

from project.errors import Overloaded
from project.inference.admission import UPLOADS_PER_SLOT, Admission
from tests.conftest import make_settings, picture
from tests.fakes import ShadeParams
from tests.runners import DEADLINE, serving, until_given_back

pytestmark = pytest.mark.anyio
PARAMS = ShadeParams()
AT_ONCE = {"brief_seconds": 0.0, "upload_seconds": 0.0}
NEVER = {"brief_seconds": 3600.0, "upload_seconds": 7200.0}


async def until_waiting(admission: Admission, count: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while admission.waiting != count:  # noqa: ASYNC110 - it is time itself that is awaited
            await asyncio.sleep(0)


async def test_the_number_of_slots_held_is_reported():
    """Whenever it changes, and not otherwise."""
    reported = []
    admission = Admission(2, reported.append, **NEVER)
    one, other = admission.acquire(), admission.acquire()
    assert admission.full
    one.confirm()
    one.release()
    assert not admission.full
    other.release()
    assert reported == [1, 2, 1, 0]


async def test_a_slow_upload_gives_its_slot_to_the_next_and_takes_another_at_the_end():
    """It costs other requests nothing."""
    admission = Admission(1, lambda _: None, **AT_ONCE)
    slow = admission.acquire()
    await until_given_back(slow)
    assert admission.admitted == 0
    quick = admission.acquire()
    quick.confirm()
    slow.confirm()
    assert admission.admitted == 2  # whether there is a free one is for ModelQueue to decide
    quick.release()
    slow.release()
    assert admission.admitted == 0


async def test_an_upload_counts_as_waiting_until_it_is_seen_to_be_slow():
    """Otherwise more are admitted while bodies arrive than can be served in time."""
    admission = Admission(4, lambda _: None, brief_seconds=0.0, upload_seconds=3600.0)
    quick, slow, third = (admission.acquire() for _ in range(3))
    assert admission.waiting == 3
    third.release()
    quick.confirm()
    assert admission.waiting == 2
    await until_waiting(admission, 1)
    assert slow.held  # the upload may still take its second
    slow.confirm()
    assert admission.waiting == 2
    for slot in (quick, slow):
        slot.release()


async def test_a_confirmed_slot_is_never_given_back():
    """However long the prediction takes."""
    admission = Admission(1, lambda _: None, **AT_ONCE)
    slot = admission.acquire()
    slot.confirm()
    other = admission.acquire()
    await until_given_back(other)
    assert slot.held
    assert admission.full
    for each in (slot, other):
        each.release()


async def test_slow_uploads_without_a_slot_have_a_bound_too():
    """Each may hold a body's worth of memory."""
    admission = Admission(2, lambda _: None, **AT_ONCE)
    slots = []
    for _ in range(2 * UPLOADS_PER_SLOT):
        assert not admission.too_many_uploads
        slots.append(admission.acquire())
        await until_given_back(slots[-1])
    assert admission.admitted == 0
    assert admission.too_many_uploads
    assert not admission.full  # an upload that is complete may have a slot
    slots[0].release()
    assert not admission.too_many_uploads
    for slot in slots[1:]:
        slot.release()


async def test_an_expected_request_counts_for_one_iteration_of_the_event_loop():
    """Many that come at once do not share one slot."""
    admission = Admission(1, lambda _: None, **NEVER)
    admission.expect()
    assert admission.full
    assert admission.waiting == 1
    await asyncio.sleep(0)
    assert not admission.full
    assert admission.waiting == 0


async def test_an_upload_that_ends_late_at_a_full_queue_is_refused(shade):
    """Its slot was given to another request, which is served."""
    async with serving(make_settings(queue_limit=1), shade, **AT_ONCE) as runner:
        shade.go_on.clear()
        with runner.admit("shade") as late:
            await until_given_back(late)
            inside = asyncio.create_task(runner.predict("shade", {"image": picture()}, PARAMS))
            await asyncio.to_thread(shade.entered.wait)
            with pytest.raises(Overloaded):
                await late.predict({"image": picture()}, PARAMS)
            shade.go_on.set()
            await inside
            assert (await late.predict({"image": picture()}, PARAMS)).result.label == "light"


async def test_an_upload_that_has_ended_is_served_however_many_still_go_on(shade):
    """It has been sent; a refusal would waste it."""
    async with serving(make_settings(queue_limit=1), shade, **AT_ONCE) as runner:
        with ExitStack() as uploads:
            for _ in range(UPLOADS_PER_SLOT):
                slot = uploads.enter_context(runner.admit("shade"))
                await until_given_back(slot)
            with pytest.raises(Overloaded), runner.admit("shade"):
                pass
            assert (await slot.predict({"image": picture()}, PARAMS)).result.label == "light"
