"""What the arbiter and its workers know of each other: a page of memory that they inherit."""

import mmap

_GENERATION, _READY, _STOPPING = range(3)  # a byte each
_COUNTS = 8  # from here on, two bytes for each worker's connections
MOST_WORKERS = 256  # by slot; no more than 64 are asked for, and a reload has twice as many
NOT_LISTENING = 0xFFFF

_page = mmap.mmap(-1, _COUNTS + 2 * MOST_WORKERS)
_connections = memoryview(_page)[_COUNTS:].cast("H")
for _slot in range(MOST_WORKERS):
    _connections[_slot] = NOT_LISTENING


def generation() -> int:
    """The number of reloads so far, modulo 256; a worker of an older one is being replaced."""
    return _page[_GENERATION]


def begin_generation() -> None:
    """In the arbiter: a reload begins."""
    _page[_GENERATION] = (generation() + 1) % 256


def mark_ready(of_generation: int) -> None:
    """In a worker: say that one of this generation serves."""
    _page[_READY] = of_generation


def successor_ready() -> bool:
    """Whether a worker of the newest generation serves, so that older ones may leave."""
    return _page[_READY] == generation()


def mark_stopping() -> None:
    """In the arbiter: the whole server was told to stop."""
    _page[_STOPPING] = 1


def stopping() -> bool:
    """Whether the whole server was told to stop, and not this worker alone."""
    return bool(_page[_STOPPING])


def tell_connections(slot: int, count: int) -> None:
    """Say how many connections the worker in a slot has, or that it is NOT_LISTENING."""
    if slot < MOST_WORKERS:
        _connections[slot] = min(count, NOT_LISTENING)


def fewest_connections(besides: int) -> int:
    """The least that any other worker has that listens; NOT_LISTENING where there is none."""
    others = (count for slot, count in enumerate(_connections) if slot != besides)
    return min(others)
