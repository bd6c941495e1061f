"""The queues and the sweep, with a real Valkey."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dramatiq
import pytest
from dramatiq import Message, Worker
from loguru import logger
from pydantic import SecretStr

from drills.valkey import Valkey
from drills.waiting import wait_until
from project.errors import BrokerUnavailable, StorageUnavailable
from project.jobs.consumer import make_broker
from project.jobs.queue import ACTOR, JobQueue, QueueState, keys_of
from project.jobs.supervisor import POLL_MILLISECONDS
from project.jobs.sweep import MESSAGE_SECONDS, Sweep
from tests.conftest import make_settings
from tests.job_worker import JobWorker, TurnModel, job_worker

pytestmark = pytest.mark.anyio
LONG = 10 * MESSAGE_SECONDS
QUEUES = QUEUE, OTHER = "turn", "shade"
EMPTY = QueueState(0, 0, 0, 0, 0.0)


def settings_of(valkey: Valkey, **changes: object):
    return make_settings(redis_url=SecretStr(valkey.url), **changes)


@pytest.fixture
def queue(valkey: Valkey) -> Iterator[JobQueue]:
    queue = JobQueue.of(settings_of(valkey))
    yield queue
    queue.close()


def sweep_of(worker: JobWorker, queue: JobQueue, **changes: object) -> Sweep:
    """A sweep of the worker's jobs. changes: of the settings."""
    settings = worker.settings.model_copy(update=changes)
    return Sweep(settings, worker.queries, worker.transitions, worker.storage, queue)


async def test_an_empty_queue_is_all_zeros(queue):
    """Also at a broker that was never used."""
    assert await queue.states(QUEUES) == dict.fromkeys(QUEUES, EMPTY)
    assert await queue.waiting_jobs([QUEUE]) == {}


async def test_messages_are_counted_by_state(tmp_path, queue):
    """Ready or delayed; the age is that of the oldest ready one."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        first = await worker.job(await worker.submit())
        second = await worker.job(await worker.submit())
        sent = time.time()
        await queue.send(first)
        await queue.send(second, delay_seconds=60)
        state = (await queue.states([QUEUE]))[QUEUE]
        assert (state.ready, state.running, state.delayed, state.dead) == (1, 0, 1, 0)
        assert 0 <= state.oldest_age_seconds <= time.time() - sent
        assert (await queue.waiting_jobs([QUEUE])).keys() == {first.id}


async def test_a_job_is_sent_first_or_moved_first(tmp_path, valkey, queue):
    """A worker fetches it before all others; a message that it has fetched stays as it is."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        one, two, three = [await worker.job(await worker.submit()) for _ in range(3)]
        await queue.send(one)
        await queue.send(two)
        await queue.send_first(three)
        assert [*await queue.waiting_jobs([QUEUE])] == [three.id, one.id, two.id]
        message_ids = await queue.waiting_jobs([QUEUE])
        await queue.move_first(two, message_ids[two.id])
        assert [*await queue.waiting_jobs([QUEUE])] == [two.id, three.id, one.id]
        broker = make_broker(settings_of(valkey), [])
        broker.declare_queue(QUEUE)
        fetched = [Message.decode(data) for data in broker.do_fetch(QUEUE, 2)]
        assert [message.args for message in fetched] == [(two.id,), (three.id,)]
        await queue.move_first(two, message_ids[two.id])
        assert [*await queue.waiting_jobs([QUEUE])] == [one.id]
        for message in fetched:
            broker.do_ack(QUEUE, message.options["redis_message_id"])
        state = (await queue.states([QUEUE]))[QUEUE]
        assert (state.ready, state.running, state.dead) == (1, 0, 0)


async def test_an_unavailable_broker_raises_at_once(tmp_path, valkey, queue):
    """Whatever is asked of it; the queue reconnects when it is back."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job = await worker.job(await worker.submit())
        await queue.check()
        valkey.stop()
        calls = [
            queue.check(),
            queue.states([QUEUE]),
            queue.waiting_jobs([QUEUE]),
            queue.send(job),
            queue.send_first(job),
            queue.move_first(job, "1"),
        ]
        for call in calls:
            with pytest.raises(BrokerUnavailable):
                await call
        valkey.start()
        await queue.check()


async def test_the_sweep_sends_a_job_that_was_never_sent(tmp_path, queue):
    """The broker did not answer when the job was submitted."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit(ago=LONG)
        await worker.submit()  # its submission is about to send it
        sweep = sweep_of(worker, queue)
        assert await sweep.resend() == 1
        assert (await queue.waiting_jobs([QUEUE])).keys() == {job_id}
        assert await sweep.resend() == 0


async def test_a_job_whose_message_waits_is_not_sent_again(tmp_path, queue):
    """However long the queue is."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit(ago=LONG)
        sweep = sweep_of(worker, queue)
        await sweep.resend()
        await worker.transitions.mark_sent(job_id, time.time() - 10 * MESSAGE_SECONDS)
        assert await sweep.resend() == 0


async def test_a_message_that_the_broker_lost_is_sent_again(tmp_path, valkey, queue):
    """As after the restart of a broker that persists nothing."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit(ago=LONG)
        sweep = sweep_of(worker, queue)
        await sweep.resend()
        valkey.client().flushall()
        assert await sweep.resend() == 0  # a worker may have fetched it
        await worker.transitions.mark_sent(job_id, time.time() - MESSAGE_SECONDS - 1)
        assert await sweep_of(worker, queue).resend() == 1  # a sweep looks for these now and then


async def test_a_job_in_the_queue_of_a_former_release_is_sent_to_its_own(tmp_path, valkey, queue):
    """Before a model had its own queue, all messages were in the queue `jobs`."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit(ago=LONG)
        await queue.send(await worker.job(job_id))
        await worker.transitions.mark_sent(job_id, time.time() - MESSAGE_SECONDS - 1)
        for own, former in zip(keys_of(QUEUE)[:2], keys_of("jobs")[:2], strict=True):
            valkey.client().rename(own, former)
        assert await sweep_of(worker, queue).resend() == 1
        assert (await queue.waiting_jobs([QUEUE])).keys() == {job_id}


async def test_a_job_whose_worker_died_is_sent_again_when_its_lease_has_lapsed(tmp_path, queue):
    """Not before."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit()
        sweep = sweep_of(worker, queue)
        now = time.time()
        assert await worker.transitions.claim(job_id, "dead", now, 1000)
        assert await sweep.resend() == 0
        assert await worker.transitions.renew(job_id, "dead", now, -1, 0.5)
        assert await sweep.resend() == 1


async def test_the_job_of_a_dead_worker_goes_to_the_front_of_the_queue(tmp_path, queue):
    """Whether it has no message or one at the end of the queue."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        sweep = sweep_of(worker, queue)
        dead, returned, waiting = [await worker.submit(ago=LONG) for _ in range(3)]
        for job_id in (waiting, returned):
            await queue.send(await worker.job(job_id))
            await worker.transitions.mark_sent(job_id, time.time() - 2)
        for job_id in (dead, returned):
            assert await worker.transitions.claim(job_id, "dead", time.time() - 2, 1)
        assert await sweep.resend() == 2
        *first, last = await queue.waiting_jobs([QUEUE])
        assert ({*first}, last) == ({dead, returned}, waiting)


async def test_the_sweep_cancels_a_requested_job_whose_worker_died(tmp_path, queue):
    """It does not wait in the queue for that."""
    async with job_worker(tmp_path, TurnModel()) as worker:
        job_id = await worker.submit()
        now = time.time()
        assert await worker.transitions.claim(job_id, "dead", now - 2, 1.9)
        assert (await worker.transitions.cancel(job_id, now - 1)).status == "running"
        await sweep_of(worker, queue).resend()
        assert (await worker.job(job_id)).status == "cancelled"


async def test_a_file_that_cannot_be_deleted_delays_no_other(tmp_path, queue, monkeypatch):
    """The next sweep tries again."""
    async with job_worker(tmp_path, TurnModel(), job_retention_seconds=1e-6) as worker:
        bad, good = await worker.submit(), await worker.submit()
        for job_id in (bad, good):
            await worker.executor.run(job_id)
        delete = worker.storage.delete_under

        async def refused(prefix: str) -> None:
            if prefix.endswith(bad):
                raise StorageUnavailable("not now")
            await delete(prefix)

        monkeypatch.setattr(worker.storage, "delete_under", refused)
        sweep = sweep_of(worker, queue)
        assert await sweep.delete_files() == 1
        monkeypatch.setattr(worker.storage, "delete_under", delete)
        assert await sweep.delete_files() == 1
        assert await sweep.delete_files() == 0


async def test_files_are_deleted_after_the_retention_time(tmp_path, queue):
    """Inputs, the result, and the results of runs that lost their lease; the row stays."""
    async with job_worker(tmp_path, TurnModel(), job_retention_seconds=1000) as worker:
        kept, old = await worker.submit(), await worker.submit()
        await worker.storage.put(f"jobs/{old}/results/7", b"orphan", "image/png")
        for job_id in (kept, old):
            await worker.executor.run(job_id)
        sweep = sweep_of(worker, queue)
        assert await sweep.delete_files() == 0
        sweep_later = sweep_of(worker, queue, job_retention_seconds=0)
        assert await sweep_later.delete_files() == 2
        assert list((tmp_path / "storage").glob("jobs/**/*")) == []
        job = await worker.job(old)
        assert (job.status, job.files_deleted_at is not None) == ("succeeded", True)
        assert await sweep_later.delete_files() == 0


async def test_a_sweep_survives_an_unavailable_broker(tmp_path, valkey, queue):
    """It goes on when the broker is back."""
    async with job_worker(tmp_path, TurnModel(), job_sweep_seconds=0.02) as worker:
        valkey.stop()
        job_id = await worker.submit(ago=LONG)
        failed = asyncio.Event()
        sink = logger.add(
            lambda _: failed.set(), filter=lambda record: record["message"] == "sweep_failed"
        )
        sweeping = asyncio.create_task(sweep_of(worker, queue).resend_forever())
        await failed.wait()
        logger.remove(sink)
        assert (await worker.job(job_id)).sent_at is None
        valkey.start()
        await worker.wait_for(job_id, lambda row: row.sent_at is not None)
        sweeping.cancel()
        await asyncio.wait([sweeping])  # before its database is closed


async def test_the_messages_of_a_dead_process_return_to_the_queue(valkey):
    """Those it had fetched; every command of another process checks for them."""
    settings = settings_of(valkey)
    dead, living = [make_broker(settings, [], heartbeat_seconds=0.2) for _ in range(2)]
    for broker in (dead, living):
        broker.declare_queue(QUEUE)
    dead.do_enqueue(QUEUE, "message-1", b"{}")
    assert dead.do_fetch(QUEUE, 1) == [b"{}"]
    assert living.do_fetch(QUEUE, 1) == []
    found = wait_until(lambda: living.do_fetch(QUEUE, 1), "the message comes back")
    assert found == [b"{}"]


@contextmanager
def working(valkey: Valkey, run: Callable[[str], None], **options: float) -> Iterator[Worker]:
    """Dramatiq's worker of two queues, with one thread; `run` is called with each argument."""
    broker = make_broker(settings_of(valkey), [], **options)
    for name in QUEUES:
        broker.declare_queue(name)
    dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)(run)
    worker = Worker(broker, worker_threads=1, worker_timeout=POLL_MILLISECONDS)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        broker.close()


def consuming(worker: Worker) -> set[str]:
    """The queues whose consumers have connected."""
    return {name for name, thread in worker.consumers.items() if thread.consumer} & set(QUEUES)


async def put(queue: JobQueue, worker: JobWorker, model: str) -> str:
    """Add a job of a model and send it; returns its id."""
    job_id = await worker.submit(model)
    await queue.send(await worker.job(job_id))
    return job_id


async def test_a_long_queue_delays_no_other(tmp_path, valkey, queue):
    """Each has its turn: one message of the long queue at most is before that of the other."""
    async with job_worker(tmp_path) as worker:
        many = [await put(queue, worker, QUEUE) for _ in range(20)]
        one = await put(queue, worker, OTHER)
        ran: list[str] = []
        started = threading.Event()

        def run(job_id: str) -> None:
            started.wait()
            ran.append(job_id)

        with working(valkey, run) as dramatiq_worker:
            wait_until(lambda: consuming(dramatiq_worker) == set(QUEUES), "both are consumed")
            started.set()
            wait_until(lambda: len(ran) == 21, "all have run")
        assert ran.index(one) <= 1
        ran.remove(one)
        assert ran == many
        states = await queue.states(QUEUES)
        assert states == dict.fromkeys(QUEUES, EMPTY)


async def test_a_busy_worker_holds_no_message_but_that_of_its_job(tmp_path, valkey, queue):
    """Neither of the same queue nor of another: an idle worker takes them at once."""
    async with job_worker(tmp_path) as worker:
        held, entered, idle_ran = threading.Event(), threading.Event(), []

        def hold(_job_id: str) -> None:
            entered.set()
            held.wait()

        await put(queue, worker, QUEUE)
        with working(valkey, hold):
            assert await asyncio.to_thread(entered.wait, 60)
            try:
                later = {await put(queue, worker, name) for name in QUEUES * 5}
                with working(valkey, idle_ran.append):
                    wait_until(lambda: len(idle_ran) == 10, "the idle worker has run them all")
                assert {*idle_ran} == later
            finally:
                held.set()


async def test_a_message_that_no_worker_understands_is_dead_in_its_own_queue(
    tmp_path, valkey, queue
):
    """Whichever consumer has fetched it; the worker goes on."""
    async with job_worker(tmp_path) as worker:
        client = valkey.client()
        for name in QUEUES:
            message = Message(name, "an actor of another release", (), {}, {"enqueued_at": 1})
            message = message.copy(options={"redis_message_id": name})
            client.hset(keys_of(name).messages, name, message.encode())
            client.rpush(keys_of(name).ready, name)
        job_id, ran = await put(queue, worker, OTHER), []
        with working(valkey, ran.append):
            wait_until(lambda: ran == [job_id], "the job has run")
            wait_until(lambda: client.zcard(keys_of(QUEUE).dead), "the other one is dead too")
        states = await queue.states(QUEUES)
        assert {(state.ready, state.running, state.dead) for state in states.values()} == {
            (0, 0, 1)
        }


async def test_a_job_that_ends_while_the_broker_is_away_is_acknowledged_before_the_next(
    tmp_path, valkey, queue
):
    """Its worker would hold the next message until then."""
    async with job_worker(tmp_path) as worker:
        sent = {await put(queue, worker, name) for name in QUEUES}
        ran: list[str] = []
        unacknowledged: list[int] = []

        def run(job_id: str) -> None:
            if ran:
                lengths = [valkey.client().hlen(keys_of(name).messages) for name in QUEUES]
                unacknowledged.append(sum(map(int, lengths)))
            else:
                valkey.stop()
            ran.append(job_id)

        with working(valkey, run):
            wait_until(lambda: ran, "the first has run")
            valkey.start()
            wait_until(lambda: len(ran) == 2, "the second has run")
        assert {*ran} == sent
        assert unacknowledged == [1]  # its own


async def test_a_broker_that_hangs_ends_no_consumer(valkey):
    """Delayed messages are fetched afterwards; with Dramatiq's client their thread would die."""
    ran: list[str] = []
    with working(valkey, ran.append, response_seconds=0.2) as worker:
        actor = worker.broker.get_actor(ACTOR)
        actor.send_with_options(args=("long",), delay=3_600_000)
        thread = worker.consumers[f"{QUEUE}.DQ"]
        wait_until(thread.delay_queue.qsize, "a worker has fetched the message")
        first = thread.consumer
        with valkey.frozen():
            wait_until(
                lambda: thread.consumer is not first or not thread.is_alive(),
                "it times out and reconnects",
            )
        assert thread.is_alive()
        actor.send_with_options(args=("soon",), delay=1)
        wait_until(lambda: ran == ["soon"], "a later message is run")
