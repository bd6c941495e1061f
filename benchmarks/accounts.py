"""The cost of accounts, with AUTH=keys against AUTH=off in pairs: `python -m benchmarks.accounts`.

Both servers run side by side and are loaded in turns of seconds, as the speed of a shared machine
changes within a minute. With AUTH=keys each request brings an API key, is counted against the rate
of its caller in Valkey and against the quota in the database, and its answer says what is left.
Valkey's own processor time is counted with the server's.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.load import Post, load
from benchmarks.machine import machine
from benchmarks.processes import NotRunnable, Server, need
from benchmarks.sections import ACCOUNTS, write_section
from benchmarks.stats import median
from benchmarks.subjects import photo_post, product
from benchmarks.tables import Lines, spread, table
from benchmarks.throughput import WARM_CLIENTS, WARM_SECONDS
from drills import accounts
from drills.valkey import serving_valkey

CLIENTS = 16
PAIRS = 6  # of servers: two of the same code differ by a few per cent, by their memory layout
TURNS = 8  # of each server of a pair
TURN_SECONDS = 3.0
PATIENT: dict[str, object] = {"QUEUE_SECONDS": 30}  # a shared machine stands still for a while
BOUND = 0.97  # of both ratios
ABOUT = """\
`python -m benchmarks.accounts`, {when}, {machine[processor]}, {machine[cores]} cores: {pairs} \
pairs of servers, {turns} turns of {seconds:g} s each, {clients} clients of classification. With \
`AUTH=keys` a request brings an API key and is counted against a rate in Valkey and a quota in \
SQLite; Valkey's processor time is its own. The ratios are of pairs of neighbouring turns: the \
median, with the least and the most of the medians of each pair of servers."""


@dataclass
class Series:
    """Of each turn of a server: requests a second, and processor seconds a request."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """A server, what it is sent, and the processes besides whose time counts."""

    server: Server
    post: Post
    others: tuple[psutil.Process, ...] = ()

    def processor_seconds(self) -> float:
        """Processor time of the server and of what serves it alone."""
        others = [process.cpu_times() for process in self.others]
        return self.server.processor_seconds() + sum(it.user + it.system for it in others)


@contextmanager
def pair() -> Iterator[dict[str, Subject]]:
    """Both servers, warm."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as text,
        serving_valkey(Path(text) / "valkey") as valkey,
        product("accounts-off", **PATIENT) as off,
    ):
        folder = Path(text)
        settings = {
            **accounts.SETTINGS,
            **PATIENT,
            "REDIS_URL": valkey.url,
            "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/users.db",
        }
        with product("accounts-keys", **settings) as keys:
            key = accounts.create_key(keys.url(""))
            with_key = replace(photo_post(), token=key)
            found = {
                "keys": Subject(keys, with_key, (psutil.Process(valkey.pid),)),
                "off": Subject(off, photo_post()),
            }
            for subject in found.values():
                load(subject.server, subject.post, WARM_CLIENTS, WARM_SECONDS)
            yield found


def measure(pairs: int, turns: int, seconds: float) -> list[dict[str, Series]]:
    """What each pair of servers did. Raises NotRunnable where a request was refused."""
    found = []
    for number in range(pairs):
        with pair() as subjects:
            measured = {name: Series() for name in subjects}
            for turn in range(turns):
                for name in ("keys", "off") if turn % 2 else ("off", "keys"):
                    _turn(subjects[name], seconds, measured[name])
        found.append(measured)
        print(f"pair {number + 1}: {_ratios(measured)}", flush=True)
    return found


def _turn(subject: Subject, seconds: float, measured: Series) -> None:
    before = subject.processor_seconds()
    cell = load(subject.server, subject.post, CLIENTS, seconds)
    if cell["bad"] or cell["broken"]:
        raise NotRunnable(f"{cell['bad']} requests were refused, {cell['broken']} broke")
    measured.rates.append(cell["requests_per_second"])
    measured.costs.append((subject.processor_seconds() - before) / cell["requests"])


def _ratios(measured: dict[str, Series]) -> tuple[float, float]:
    """Of one pair of servers: throughput with accounts, and requests a processor second, by off."""
    keys, off = measured["keys"], measured["off"]
    rates = [a / b for a, b in zip(keys.rates, off.rates, strict=True)]
    costs = [b / a for a, b in zip(keys.costs, off.costs, strict=True)]
    return median(rates), median(costs)


def report(found: list[dict[str, Series]]) -> Lines:
    """The table of all pairs."""
    rows = []
    for index, what in enumerate(("requests/s", "requests for each second of processors")):
        ratios = [_ratios(measured)[index] for measured in found]
        holds = "yes" if median(ratios) >= BOUND else "no"
        rows.append((f"{what}: ratio", f"≥ {BOUND}", spread(ratios, digits=3), holds))
    for name in ("off", "keys"):
        rates = [median(measured[name].rates) for measured in found]
        costs = [1000 * median(measured[name].costs) for measured in found]
        rows.append((f"AUTH={name}: requests/s", "", spread(rates, digits=1), ""))
        rows.append((f"AUTH={name}: ms of processors a request", "", spread(costs, digits=2), ""))
    return table(("", "bound", "reached", "holds"), rows)


def main() -> None:
    """Measure, print the table, and write its section of docs/performance.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accounts", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--seconds", type=float, default=TURN_SECONDS)
    parser.add_argument("--dry", action="store_true", help="print, and write no page")
    given = parser.parse_args()
    need("wrk", "wrk")
    found = measure(given.pairs, given.turns, given.seconds)
    about = ABOUT.format(
        when=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        machine=machine(),
        pairs=given.pairs,
        turns=given.turns,
        seconds=given.seconds,
        clients=CLIENTS,
    )
    lines = [about, "", *report(found)]
    print("\n".join(lines))
    if not given.dry:
        write_section(ACCOUNTS, "\n".join(lines))


if __name__ == "__main__":
    main()
