"""Creates the broker of a worker process: from settings to queues with their one actor."""

from collections.abc import Sequence

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.middleware.prometheus import Prometheus

from project.jobs.consumer import WorkerBroker, make_broker
from project.jobs.queue import ACTOR
from project.jobs.worker_process import WorkerProcess
from project.models.base import AnyModel
from project.observability import metrics, multiprocess
from project.settings import Settings


class DramatiqMetrics(Prometheus):
    """Dramatiq's metrics in this process's metric files; jobs/metrics_server.py serves them."""

    forks: Sequence[object] = ()  # Dramatiq's own exposition server does not start

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        """Create the series of each queue and its actor with the value 0."""
        super().after_process_boot(broker)  # type: ignore[no-untyped-call]
        for metric in (
            self.total_messages,
            self.total_errored_messages,
            self.total_retried_messages,
            self.total_rejected_messages,
            self.inprogress_messages,
            self.message_durations,
        ):
            for queue in broker.get_declared_queues():
                metric.labels(queue, ACTOR)

    def before_delay_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        """Count nothing: if another process runs the message, this gauge would never fall."""


def create_broker(settings: Settings, models: Sequence[AnyModel]) -> WorkerBroker:
    """The broker of a worker process. models: those whose queues it takes."""
    multiprocess.identify(str(settings.worker_slot))
    if settings.prometheus_multiproc_dir:
        directory = settings.prometheus_multiproc_dir
        multiprocess.prepare(directory, str(settings.worker_slot), metrics.gauge_modes())
    metrics.declare(jobs=settings.models)  # it sweeps the jobs of all
    process = WorkerProcess(settings, models)
    broker = make_broker(settings, [DramatiqMetrics(), process])
    for model in models:
        broker.declare_queue(model.name)
    dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=models[0].name)(process.run)
    return broker
