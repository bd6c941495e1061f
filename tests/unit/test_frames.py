"""The slot of a live stream: the newest frame waits, one claim takes it, and none is lost."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from project.errors import ClientDisconnected, InvalidInput
from project.inference.encoding import JSON, Encoding
from project.inference.frames import Frame, FrameSlot, Pace
from project.inference.task_queue import TaskQueue
from tests.conftest import make_settings, picture
from tests.fakes import ShadeParams
from tests.runners import DEADLINE, serving, until_waiting
from tests.samples import sample

pytestmark = pytest.mark.anyio
PARAMS = ShadeParams()


def frame(number: int, raw=None, **options) -> Frame:
    return Frame(number, raw or {"image": b""}, PARAMS, 0.0, **options)


async def test_a_newer_frame_replaces_the_one_that_waits():
    """And only a frame that waited is dropped."""
    slot = FrameSlot()
    assert [slot.put(frame(number)) for number in (1, 2, 3)] == [False, True, True]
    claim = slot.claim()
    assert claim.take().number == 3
    assert slot.put(frame(4)) is False


async def test_a_frame_is_taken_when_its_step_begins_not_when_it_was_claimed():
    """That is what keeps answers young, however long the queue is."""
    slot = FrameSlot()
    slot.put(frame(1))
    claim = slot.claim()
    slot.put(frame(2))
    assert claim.take().number == 2


async def test_waiting_ends_with_a_frame_and_begins_again_without():
    """The session asks for the model's time only for a frame."""
    slot = FrameSlot()
    waiting = asyncio.create_task(slot.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    slot.put(frame(1))
    await waiting
    slot.claim().take()
    waiting = asyncio.create_task(slot.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_an_ended_claim_takes_nothing_from_its_successor():
    """A thread may come late to a frame whose deadline has passed."""
    slot = FrameSlot()
    slot.put(frame(1))
    late = slot.claim()
    assert late.end().number == 1  # the frame that the failure concerns
    slot.put(frame(2))
    with pytest.raises(ClientDisconnected):
        late.take()
    assert slot.claim().take().number == 2


async def test_a_frame_that_cannot_be_used_raises_its_fault_in_its_turn():
    """So problems and answers come in the order of the frames."""
    slot = FrameSlot()
    slot.put(frame(1, fault=InvalidInput("no text")))
    claim = slot.claim()
    with pytest.raises(InvalidInput):
        claim.take()
    assert claim.end().number == 1


async def test_under_threads_every_frame_is_taken_or_replaced():
    """One puts, three take: what was put is what was taken and what was replaced."""
    slot, taken, putting = FrameSlot(), [], True

    def take() -> None:
        while putting:
            try:
                taken.append(slot.claim().take().number)
            except ClientDisconnected:
                continue

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    replaced = sum(slot.put(frame(number)) for number in range(5000))
    putting = False
    for thread in threads:
        thread.join()
    assert len(taken) + replaced + slot.clear() == 5000
    assert len(set(taken)) == len(taken)


@pytest.fixture
def clock():
    return SimpleNamespace(now=100.0)


def test_a_burst_passes_and_then_the_pace_is_kept(clock):
    """Ten frames a second, of which three may come at once."""
    pace = Pace(10, burst=3, clock=lambda: clock.now)
    assert [pace.delay() for _ in range(3)] == [0, 0, 0]
    assert pace.delay() == pytest.approx(0.1)
    clock.now += 0.1
    assert pace.delay() == pytest.approx(0.1)


def test_frames_within_the_rate_never_wait(clock):
    """A camera's jitter is no reason to delay it."""
    pace = Pace(10, burst=3, clock=lambda: clock.now)
    delays = []
    for number in range(100):
        clock.now += 0.15 if number % 2 else 0.05
        delays.append(pace.delay())
    assert delays == [0] * 100


def test_a_long_silence_saves_up_no_more_than_a_burst(clock):
    """After an hour, three frames pass and not thirty thousand."""
    pace = Pace(10, burst=3, clock=lambda: clock.now)
    clock.now += 3600
    assert [pace.delay() > 0 for _ in range(4)] == [False, False, False, True]


def task(name: str, *, is_frame: bool) -> SimpleNamespace:
    return SimpleNamespace(name=name, is_frame=is_frame)


def drained(queue: TaskQueue) -> list[str]:
    return [queue.popleft().name for _ in range(len(queue))]


def test_requests_and_frames_alternate_each_in_its_order():
    """A crowd of one kind does not delay the other."""
    queue = TaskQueue()
    for number in range(4):
        queue.append(task(f"frame {number}", is_frame=True))
    for number in range(2):
        queue.append(task(f"request {number}", is_frame=False))
    assert drained(queue) == [
        *("request 0", "frame 0", "request 1", "frame 1"),
        *("frame 2", "frame 3"),
    ]


def test_an_empty_queue_raises_and_a_cleared_one_is_empty():
    """As a deque does, which other threads may have emptied meanwhile."""
    queue = TaskQueue()
    queue.append(task("a", is_frame=True))
    assert queue
    queue.clear()
    assert not queue
    with pytest.raises(IndexError):
        queue.popleft()


async def test_frames_of_several_sessions_share_a_batch(shade):
    """What waits while the net is busy goes through it together, and is the newest by then."""
    slots = [FrameSlot() for _ in range(5)]

    async def predict(slot: FrameSlot) -> int:
        claim = slot.claim()
        await runner.predict_newest("shade", claim, Encoding(JSON))
        return claim.end().number

    async with serving(make_settings(), shade) as runner:
        shade.go_on.clear()
        for slot in slots:
            slot.put(frame(1, raw={"image": picture()}))
        first = asyncio.create_task(predict(slots[0]))
        await asyncio.to_thread(shade.entered.wait, DEADLINE)
        rest = [asyncio.create_task(predict(slot)) for slot in slots[1:]]
        await until_waiting(runner, 4)
        for slot in slots[1:]:
            slot.put(frame(2, raw={"image": picture()}))
        shade.go_on.set()
        assert await first == 1
        assert await asyncio.gather(*rest) == [2] * 4
        assert shade.batches == [1, 4]


async def test_frames_need_no_slot_and_requests_none_of_theirs(shade):
    """A crowd of cameras leaves the queue of requests as it is."""
    slots = [FrameSlot() for _ in range(8)]
    async with serving(make_settings(queue_limit=2), shade) as runner:
        shade.go_on.clear()
        for slot in slots:
            slot.put(frame(1, raw={"image": picture()}))

        def predict(slot: FrameSlot) -> asyncio.Task:
            prediction = runner.predict_newest("shade", slot.claim(), Encoding(JSON))
            return asyncio.create_task(prediction)

        frames = [predict(slots[0])]
        await asyncio.sleep(0)
        await asyncio.to_thread(shade.entered.wait, DEADLINE)
        frames += map(predict, slots[1:])
        await until_waiting(runner, 7)
        assert runner.queues["shade"].admitted == 0
        request = asyncio.create_task(runner.predict("shade", {"image": picture()}, PARAMS))
        await until_waiting(runner, 8)
        shade.go_on.set()
        assert (await request).result.label == "light"
        assert len(await asyncio.gather(*frames)) == 8


async def test_a_frame_is_dropped_when_its_client_hangs_up(shade):
    """Nothing is computed that nobody waits for."""
    slot = FrameSlot()
    slot.put(frame(1, raw={"image": picture()}))
    async with serving(make_settings(), shade) as runner:
        shade.go_on.clear()
        running = asyncio.create_task(runner.predict("shade", {"image": picture()}, PARAMS))
        await asyncio.to_thread(shade.entered.wait, DEADLINE)
        before = sample("inference_requests_total", model="shade", outcome="cancelled")
        claim = slot.claim()
        frames = asyncio.create_task(runner.predict_newest("shade", claim, Encoding(JSON)))
        await until_waiting(runner, 1)
        frames.cancel()
        await asyncio.gather(frames, return_exceptions=True)
        assert claim.end().number == 1
        shade.go_on.set()
        await running
        assert shade.batches == [1]
        assert sample("inference_requests_total", model="shade", outcome="cancelled") == before + 1
