"""create_broker: from settings to the broker whose messages this process runs."""

from collections.abc import Sequence

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.prometheus import Prometheus

from project.jobs.send import ACTOR, QUEUE, make_broker
from project.jobs.worker_process import WorkerProcess
from project.models.base import AnyModel
from project.observability import metrics, multiprocess
from project.settings import Settings


class DramatiqMetrics(Prometheus):
    """Dramatiq's own metrics, in this process's files; the exposition is ours, and watched."""

    forks: Sequence[object] = ()

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        """Make the series of the one queue and its actor with 0, as ours are made."""
        super().after_process_boot(broker)  # type: ignore[no-untyped-call]
        for metric in (
            self.total_messages,
            self.total_errored_messages,
            self.total_retried_messages,
            self.total_rejected_messages,
            self.inprogress_messages,
            self.message_durations,
        ):
            metric.labels(QUEUE, ACTOR)

    def before_delay_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        """Count nothing: a message that waits here may be run elsewhere, and none would notice."""


def create_broker(settings: Settings, models: Sequence[AnyModel]) -> RedisBroker:
    """The broker with its one actor. models: those whose jobs are run here."""
    multiprocess.identify(str(settings.worker_slot))
    if settings.prometheus_multiproc_dir:
        directory = settings.prometheus_multiproc_dir
        multiprocess.prepare(directory, str(settings.worker_slot), metrics.gauge_modes())
    process = WorkerProcess(settings, models)
    broker = make_broker(settings, [DramatiqMetrics(), process])
    dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)(process.run)
    return broker
