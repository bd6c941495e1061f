"""Which requests a queue refuses: those without a slot, and those that would wait too long."""

import asyncio
from types import SimpleNamespace

import pytest

from project.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from project.inference.admission import Admission
from project.inference.encoding import Encoding
from project.inference.frames import Frame, FrameSlot
from project.inference.model_queue import STUCK_DEADLINES, ModelQueue
from project.inference.pipeline import Output
from tests.fakes import Shade, ShadeParams
from tests.runners import DEADLINE

pytestmark = pytest.mark.anyio
PARAMS = ShadeParams()
JSON = Encoding("application/json")
LIGHT = Output(Shade(label="light", brightness=255), b"{}")


class ManualExecutor:
    """Answers tasks when the test says so."""

    thread_count = 1

    def __init__(self) -> None:
        self.tasks = []
        self.step_started = None

    def start(self, deliver) -> None:
        self._deliver = deliver

    def submit(self, task) -> None:
        self.tasks.append(task)

    def waiting(self) -> int:
        return len(self.tasks)

    def busy_since(self) -> float | None:
        return self.step_started

    def answer(self) -> None:
        """Answer the first task."""
        self._deliver([(self.tasks.pop(0), LIGHT)])


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def executor():
    return ManualExecutor()


@pytest.fixture
async def make_queue(shade, executor, clock):
    """Makes a queue that serves, with a limit and what else a test is about."""

    def make(limit=64, max_wait=10.0, deadline=10.0, **uploads) -> ModelQueue:
        queue = ModelQueue(
            shade,
            executor,
            Admission(limit, lambda _: None, **uploads),
            max_wait_seconds=max_wait,
            deadline_seconds=deadline,
            clock=lambda: clock.now,
        )
        queue.failure = None
        queue.start()
        return queue

    return make


async def slow_down(queue, executor, clock, seconds):
    """Have the queue answer one request in so many seconds while another one waits."""
    runs = [asyncio.create_task(queue.run({"image": b""}, PARAMS, JSON)) for _ in range(2)]
    await asyncio.sleep(0)
    clock.now += seconds
    for _ in runs:
        executor.answer()
    await asyncio.gather(*runs)


async def test_a_request_beyond_the_limit_is_told_when_to_come_back(make_queue):
    """A full queue refuses at once, and admits again when a slot is released."""
    queue = make_queue(limit=2)
    slots = [queue.acquire() for _ in range(2)]
    with pytest.raises(Overloaded) as refused:
        queue.acquire()
    assert int(refused.value.headers["Retry-After"]) >= 1
    slots[0].release()
    queue.acquire().release()
    slots[1].release()
    assert queue.admitted == 0


async def test_a_request_that_would_wait_too_long_is_refused_at_once(make_queue, executor, clock):
    """An answer that comes too late costs as much as one in time."""
    queue = make_queue(brief_seconds=0.0)
    await slow_down(queue, executor, clock, 6.0)
    first, second = queue.acquire(), queue.acquire()
    assert queue.overload() is not None  # their bodies may be complete at once
    async with asyncio.timeout(DEADLINE):
        while queue.overload():  # noqa: ASYNC110 - it is time itself that is awaited
            await asyncio.sleep(0)  # a slow upload keeps no other request waiting
    queue.confirm(first)
    assert queue.overload() is None  # however slow the model is, one runs and one waits
    queue.confirm(second)
    overload = queue.overload()
    assert overload is not None
    assert overload.retry_after == 12
    for slot in (first, second):
        slot.release()


async def test_the_expected_wait_counts_the_frames_that_come_in_between(
    make_queue, executor, clock
):
    """While streams wait as well, every second answer is for one of them; never more."""
    queue = make_queue(max_wait=5.0)
    await slow_down(queue, executor, clock, 1.0)
    slots = [queue.acquire() for _ in range(3)]
    for slot in slots:
        queue.confirm(slot)
    assert queue.overload() is None
    frames = []
    for count in range(1, 10):
        slot = FrameSlot()
        slot.put(Frame(1, {"image": b""}, PARAMS, 0.0))
        frames.append(asyncio.create_task(queue.run_newest(slot.claim(), JSON)))
        await asyncio.sleep(0)
        refused = queue.overload()
        assert (refused is not None) == (count >= 3)
        assert refused is None or refused.retry_after == 6
    for slot in slots:
        slot.release()
    assert queue.overload() is None
    for frame in frames:
        frame.cancel()
    await asyncio.gather(*frames, return_exceptions=True)


async def test_an_idle_hour_refuses_no_request(make_queue, executor, clock):
    """Waits are estimated from how long predictions take, not from how seldom they come."""
    queue = make_queue()
    await slow_down(queue, executor, clock, 0.01)
    clock.now += 3600
    await slow_down(queue, executor, clock, 0.01)
    slots = [queue.acquire() for _ in range(20)]
    assert queue.overload() is None
    for slot in slots:
        slot.release()


async def test_a_prediction_that_takes_too_long_ends_at_its_deadline(make_queue, executor):
    """The client gets an answer in time; the late result is dropped."""
    queue = make_queue(deadline=0.0)
    with pytest.raises(DeadlineExceeded):
        await queue.run({"image": b""}, PARAMS, JSON)
    executor.answer()


async def test_a_step_that_hangs_makes_the_model_unavailable(make_queue, executor, clock):
    """After three deadlines without a result this process will not answer for that model."""
    queue = make_queue(deadline=10.0)
    executor.step_started = clock.now
    clock.now += STUCK_DEADLINES * 10.0
    assert not queue.is_stuck()
    clock.now += 0.1
    assert queue.is_stuck()
    with pytest.raises(ModelUnavailable):
        queue.acquire()
