"""How many workers and threads to run: what the settings say, else what suits the container."""

import math
from dataclasses import dataclass

from project.resources import Resources, read_resources
from project.settings import Settings

WORKER_BYTES = 700 * 2**20  # a worker with the models that are on by default, under full load
MAX_WORKERS = 64
USABLE = 0.9  # of the memory; the rest is for the arbiter and the kernel's buffers


@dataclass(frozen=True)
class Sizing:
    """workers: Gunicorn's. streams: threads for each model in each of them."""

    workers: int
    streams: int


def size(settings: Settings, machine: Resources | None = None) -> Sizing:
    """Choose for this machine, or for the one given.

    A worker for every two processors, but two where there are two processors, so that one serves
    while the other is replaced; fewer where memory is short. Each has threads for all processors,
    as it may be the only one with work; inference/concurrency.py keeps them from using too many.
    """
    machine = machine or read_resources()
    processors = machine.whole_processors
    useful = max(min(2, processors), math.ceil(processors / 2))
    fitting = int(USABLE * machine.memory_bytes / WORKER_BYTES)
    workers = settings.web_concurrency or max(1, min(useful, fitting, MAX_WORKERS))
    return Sizing(workers, settings.inference_streams or processors)
