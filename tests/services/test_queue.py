"""Sending, what the broker says of the queue, and the sweep, against a real Valkey."""

import asyncio
import time

import dramatiq
import pytest
from dramatiq import Worker
from pydantic import SecretStr

from drills.valkey import Valkey
from drills.waiting import wait_until
from project.errors import BrokerUnavailable, StorageUnavailable
from project.jobs import send
from project.jobs.queue import Queue, QueueState
from project.jobs.send import ACTOR, QUEUE, Sender, connect, make_broker
from project.jobs.supervisor import LOOK_MILLISECONDS
from project.jobs.sweep import MESSAGE_SECONDS, Sweep
from tests.conftest import make_settings
from tests.workshop import TurnModel, Workshop, workshop

pytestmark = pytest.mark.anyio
LONG = 10 * MESSAGE_SECONDS


def settings_of(valkey: Valkey, **changes: object):
    return make_settings(redis_url=SecretStr(valkey.url), **changes)


def sweep_of(shop: Workshop, valkey: Valkey) -> Sweep:
    settings = settings_of(valkey)
    queue = Queue(connect(settings))
    return Sweep(shop.settings, shop.jobs, shop.storage, Sender.of(settings), queue)


async def test_an_empty_queue_is_all_zeros(valkey):
    """A broker that was never used is as good as one that was."""
    assert Queue(valkey.client()).state() == QueueState(0, 0, 0, 0, 0.0)
    assert Queue(valkey.client()).waiting_jobs() == {}


async def test_what_is_sent_is_counted_by_state_and_named(tmp_path, valkey):
    """Ready at once, or delayed; the oldest has waited since it was sent."""
    async with workshop(tmp_path, TurnModel()) as shop:
        sender = Sender.of(settings_of(valkey))
        first = await shop.job(await shop.submit())
        second = await shop.job(await shop.submit())
        sent = time.time()
        await sender.send(first)
        await sender.send(second, delay_seconds=60)
        state = Queue(valkey.client()).state()
        assert (state.ready, state.running, state.delayed, state.dead) == (1, 0, 1, 0)
        assert 0 <= state.oldest_age_seconds <= time.time() - sent
        assert Queue(valkey.client()).waiting_jobs().keys() == {first.id}


async def test_a_broker_that_is_gone_is_a_clear_error_and_no_wait(valkey):
    """For who sends, who asks and who checks."""
    settings = settings_of(valkey)
    sender, queue = Sender.of(settings), Queue(connect(settings))
    await sender.check()
    valkey.stop()
    with pytest.raises(BrokerUnavailable):
        await sender.check()
    for ask in (queue.state, queue.waiting_jobs):
        with pytest.raises(BrokerUnavailable):
            ask()
    valkey.start()
    await sender.check()


async def test_the_sweep_sends_what_was_never_sent(tmp_path, valkey):
    """The broker was gone when the job was accepted; afterwards there is nothing left to do."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit(ago=LONG)
        await shop.submit()  # whoever accepts it is about to send it
        sweep = sweep_of(shop, valkey)
        assert await sweep.resend() == 1
        assert Queue(valkey.client()).waiting_jobs().keys() == {job_id}
        assert await sweep.resend() == 0


async def test_a_job_whose_message_waits_is_not_sent_again(tmp_path, valkey):
    """However long the queue is."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit(ago=LONG)
        sweep = sweep_of(shop, valkey)
        await sweep.resend()
        await shop.jobs.mark_sent(job_id, time.time() - 10 * MESSAGE_SECONDS)
        assert await sweep.resend() == 0


async def test_a_message_that_the_broker_lost_is_sent_again(tmp_path, valkey):
    """A broker that keeps nothing was started anew."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit(ago=LONG)
        sweep = sweep_of(shop, valkey)
        await sweep.resend()
        valkey.client().flushall()
        assert await sweep.resend() == 0  # it may be in a worker's hand
        await shop.jobs.mark_sent(job_id, time.time() - MESSAGE_SECONDS - 1)
        assert await sweep_of(shop, valkey).resend() == 1  # each looks for these now and then


async def test_a_job_whose_worker_died_is_sent_again_when_its_lease_is_over(tmp_path, valkey):
    """Not before."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit()
        sweep = sweep_of(shop, valkey)
        now = time.time()
        assert await shop.jobs.claim(job_id, "dead", now, 1000)
        assert await sweep.resend() == 0
        assert await shop.jobs.renew(job_id, "dead", now, -1, 0.5)
        assert await sweep.resend() == 1


async def test_the_job_of_a_dead_worker_comes_before_all_that_wait(tmp_path, valkey):
    """Its turn had come; whether it is sent again or its message lies at the end of the queue."""
    async with workshop(tmp_path, TurnModel()) as shop:
        sweep, queue = sweep_of(shop, valkey), Queue(valkey.client())
        dead, returned, waiting = [await shop.submit(ago=LONG) for _ in range(3)]
        sender = Sender.of(settings_of(valkey))
        for job_id in (waiting, returned):
            await sender.send(await shop.job(job_id))
            await shop.jobs.mark_sent(job_id, time.time() - 2)
        for job_id in (dead, returned):
            assert await shop.jobs.claim(job_id, "dead", time.time() - 2, 1)
        assert await sweep.resend() == 2
        assert [*queue.waiting_jobs()][-1] == waiting
        assert queue.waiting_jobs().keys() == {dead, returned, waiting}


async def test_a_job_to_be_cancelled_whose_worker_died_is_cancelled_by_the_sweep(tmp_path, valkey):
    """However many jobs wait before it."""
    async with workshop(tmp_path, TurnModel()) as shop:
        job_id = await shop.submit()
        now = time.time()
        assert await shop.jobs.claim(job_id, "dead", now - 2, 1.9)
        assert (await shop.jobs.cancel(job_id, now - 1)).status == "running"
        await sweep_of(shop, valkey).resend()
        assert (await shop.job(job_id)).status == "cancelled"


async def test_one_file_that_cannot_be_deleted_holds_up_no_other(tmp_path, valkey, monkeypatch):
    """It is tried again with the next sweep."""
    async with workshop(tmp_path, TurnModel(), job_retention_seconds=1e-6) as shop:
        bad, good = await shop.submit(), await shop.submit()
        for job_id in (bad, good):
            await shop.runs.run(job_id)
        delete = shop.storage.delete_under

        async def refused(prefix: str) -> None:
            if prefix.endswith(bad):
                raise StorageUnavailable("not now")
            await delete(prefix)

        monkeypatch.setattr(shop.storage, "delete_under", refused)
        sweep = sweep_of(shop, valkey)
        assert await sweep.clear() == 1
        monkeypatch.setattr(shop.storage, "delete_under", delete)
        assert await sweep.clear() == 1
        assert await sweep.clear() == 0


async def test_files_are_deleted_when_they_were_kept_long_enough(tmp_path, valkey):
    """Inputs, the result, and what runs without a lease have left; the row stays."""
    async with workshop(tmp_path, TurnModel(), job_retention_seconds=1000) as shop:
        kept, old = await shop.submit(), await shop.submit()
        await shop.storage.put(f"jobs/{old}/results/7", b"orphan", "image/png")
        for job_id in (kept, old):
            await shop.runs.run(job_id)
        sweep = sweep_of(shop, valkey)
        assert await sweep.clear() == 0
        sweep_later = Sweep(
            shop.settings.model_copy(update={"job_retention_seconds": 0}),
            shop.jobs,
            shop.storage,
            Sender.of(settings_of(valkey)),
            Queue(valkey.client()),
        )
        assert await sweep_later.clear() == 2
        assert list((tmp_path / "storage").glob("jobs/**/*")) == []
        job = await shop.job(old)
        assert (job.status, job.files_deleted_at is not None) == ("succeeded", True)
        assert await sweep_later.clear() == 0


async def test_a_sweep_outlives_a_broker_that_is_gone(tmp_path, valkey):
    """It goes on when the broker is back."""
    async with workshop(tmp_path, TurnModel(), job_sweep_seconds=0.02) as shop:
        valkey.stop()
        job_id = await shop.submit(ago=LONG)
        sweeping = asyncio.create_task(sweep_of(shop, valkey).keep_sending())
        await asyncio.sleep(0.1)
        assert (await shop.job(job_id)).sent_at is None
        valkey.start()
        await shop.until(job_id, lambda row: row.sent_at is not None)
        sweeping.cancel()


async def test_what_a_dead_process_had_in_hand_comes_back(valkey, monkeypatch):
    """Messages it had fetched and not begun; without waiting for chance."""
    monkeypatch.setattr("project.jobs.send.HEARTBEAT_SECONDS", 0.2)
    settings = settings_of(valkey)
    dead, living = make_broker(settings, []), make_broker(settings, [])
    for broker in (dead, living):
        broker.declare_queue(QUEUE)
    dead.do_enqueue(QUEUE, "message-1", b"{}")
    assert dead.do_fetch(QUEUE, 1) == [b"{}"]
    assert living.do_fetch(QUEUE, 1) == []
    found = wait_until(lambda: living.do_fetch(QUEUE, 1), "the message comes back")
    assert found == [b"{}"]


async def test_a_broker_that_hangs_ends_no_consumer(valkey, monkeypatch):
    """Delayed messages are fetched afterwards as before; Dramatiq's own thread for them died."""
    monkeypatch.setattr(send, "ANSWER_SECONDS", 0.2)
    broker, ran = make_broker(settings_of(valkey), []), []
    actor = dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)(ran.append)
    worker = Worker(broker, worker_threads=1, worker_timeout=LOOK_MILLISECONDS)
    worker.start()
    try:
        actor.send_with_options(args=("long",), delay=3_600_000)
        thread = worker.consumers[f"{QUEUE}.DQ"]
        wait_until(thread.delay_queue.qsize, "a worker has the message in hand")
        first = thread.consumer
        with valkey.frozen():
            wait_until(
                lambda: thread.consumer is not first or not thread.is_alive(),
                "it finds that the broker hangs, and begins anew",
            )
        assert thread.is_alive()
        actor.send_with_options(args=("soon",), delay=1)
        wait_until(lambda: ran == ["soon"], "what is sent afterwards is run")
    finally:
        worker.stop()
        broker.close()
