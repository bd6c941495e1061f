"""Worker slots, in real processes: never shared, and free again whatever ended their holder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from drills.waiting import wait_until
from project.observability import worker_slots
from project.observability.multiprocess import MAIN

ROOT = Path(__file__).parents[2]
TAKE = "slot = worker_slots.acquire(folder); number = slot.number"
SHARE = "worker_slots.mark_in_use(folder); number = -1"
FORK = "os.fork()"


@contextmanager
def process(folder: Path, *steps: str) -> Iterator[subprocess.Popen[str]]:
    """A process that does the steps, says its number, and lives until its stdin is closed."""
    script = "\n".join(
        [
            "import os, sys",
            "from pathlib import Path",
            "from project.observability import worker_slots",
            "folder = Path(sys.argv[1])",
            *steps,
            "os.write(1, f'{number}\\n'.encode())",  # whole, as a forked child writes there too
            "sys.stdin.read()",
        ]
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        yield running  # at the end its stdin is closed, and it is waited for


def number_of(running) -> int:
    return int(running.stdout.readline())


def next_number(folder: Path) -> int:
    """The number that a worker would get now."""
    slot = worker_slots.acquire(folder)
    slot.close()
    return slot.number


def test_a_worker_takes_the_lowest_free_place(tmp_path):
    """Numbers stay small, and with them the number of files."""
    held = [worker_slots.acquire(tmp_path) for _ in range(3)]
    assert [slot.number for slot in held] == [0, 1, 2]
    held[1].close()
    again = worker_slots.acquire(tmp_path)
    assert again.number == 1
    for slot in (held[0], again, held[2]):
        slot.close()


def test_a_slot_counts_under_a_name_that_no_other_has(tmp_path):
    """Two processes in one file would write over each other's counts."""
    first, second = worker_slots.acquire(tmp_path), worker_slots.acquire(tmp_path)
    assert len({first.identity, second.identity, MAIN}) == 3
    first.close()
    second.close()


def test_processes_that_start_at_once_never_share_a_place(tmp_path):
    """The kernel decides, not the clock."""
    with ExitStack() as stack:
        running = [stack.enter_context(process(tmp_path, TAKE)) for _ in range(8)]
        assert sorted(number_of(item) for item in running) == list(range(8))


def test_a_place_is_free_again_when_its_holder_is_killed(tmp_path):
    """SIGKILL runs no handler of ours."""
    with process(tmp_path, TAKE) as running:
        assert number_of(running) == 0
        assert next_number(tmp_path) == 1
        running.kill()
        running.wait()
        assert next_number(tmp_path) == 0


def test_a_place_is_kept_while_a_forked_child_lives(tmp_path):
    """A worker may outlive its arbiter, and counts on in its files."""
    with process(tmp_path, TAKE, FORK) as running:
        assert number_of(running) == number_of(running) == 0
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        assert next_number(tmp_path) == 1
        running.stdin.close()
        wait_until(lambda: next_number(tmp_path) == 0, "the child has ended and its place is free")


def test_a_parent_that_lets_go_leaves_the_place_to_its_child(tmp_path):
    """An arbiter may close what its worker still holds."""
    let_go = "if os.fork(): slot.close()"
    with process(tmp_path, TAKE, let_go) as running:
        assert number_of(running) == number_of(running) == 0
        assert next_number(tmp_path) == 1


def test_a_folder_is_shared_as_long_as_anyone_counts_in_it(tmp_path):
    """Else a second start would empty the files of the first."""
    assert not worker_slots.in_use(tmp_path)
    with process(tmp_path, SHARE) as one, process(tmp_path, SHARE, FORK) as two:
        assert [number_of(item) for item in (one, two, two)] == [-1, -1, -1]
        assert worker_slots.in_use(tmp_path)
        for item in (one, two):
            item.kill()
            item.wait()
        assert worker_slots.in_use(tmp_path)  # the child of the second lives
        two.stdin.close()
        wait_until(lambda: not worker_slots.in_use(tmp_path), "the last one has ended")
