"""Sends jobs to the workers. A message holds a job's id and nothing else: the row is the job.

Only this file and worker.py know Dramatiq. The API sends without importing what a job does.
"""

import asyncio

import dramatiq
from dramatiq import Broker, Message
from dramatiq.errors import ConnectionError as BrokerConnectionError

from project.errors import BrokerUnavailable

QUEUE, ACTOR = "jobs", "run_job"


class Sender:
    """Puts jobs into the queue of a broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        broker.declare_queue(QUEUE)

    async def send(self, job_id: str, delay_seconds: float = 0) -> None:
        """Have a job run, after a while. Raises BrokerUnavailable."""
        message: Message[None] = dramatiq.Message(
            queue_name=QUEUE, actor_name=ACTOR, args=(job_id,), kwargs={}, options={}
        )
        delay = round(delay_seconds * 1000) or None
        try:
            await asyncio.to_thread(self._broker.enqueue, message, delay=delay)
        except (BrokerConnectionError, OSError) as error:
            raise BrokerUnavailable("the queue does not answer; try again") from error
