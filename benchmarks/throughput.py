"""Closed loops with 1, 4, 16 and 64 clients against every subject, in turn, round after round.

Each round starts, warms, measures and ends each subject; every second round goes backwards, so that
a machine that grows slower in the course favours nobody.
"""

from typing import Any

from benchmarks import limit
from benchmarks.load import load
from benchmarks.processes import NotRunnable
from benchmarks.subjects import MODES, NAMES, PRODUCT, label_of, photo_post, product, serving

CLIENTS = (1, 4, 16, 64)
WARM_SECONDS = 2.0
WARM_CLIENTS = 4
STARTS = 5
TURN_SECONDS = 2.0
TURNS = 4  # for each round


def measure(seconds: float, rounds: int, only: list[str]) -> dict[str, Any]:
    """Every cell of the table, as a list with one load a round.

    only: names of subjects; empty for all. The limit is measured always.
    """
    names = [name for name in NAMES if not only or name in only]
    rows: dict[str, Any] = {}
    limits: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for number in range(rounds):
        for mode in MODES:
            limits[mode].append(_limit(mode, seconds))
            print(f"round {number + 1}: limit, {mode}: {_said(limits[mode][-1])}", flush=True)
        subjects = [(name, mode) for mode in MODES for name in names]
        for name, mode in subjects if number % 2 == 0 else reversed(subjects):
            row = rows.setdefault(f"{name}/{mode}", {"cells": {}, "failed": None})
            try:
                cells = _cells(name, mode, seconds, limits[mode][-1]["label"])
            except NotRunnable as error:
                row["failed"] = str(error)
                print(f"round {number + 1}: {name}, {mode}: could not be run: {error}", flush=True)
                continue
            for clients, cell in cells.items():
                row["cells"].setdefault(clients, []).append(cell)
            print(f"round {number + 1}: {name}, {mode}: {_said(cells['16'])}", flush=True)
    return {"rounds": rounds, "seconds": seconds, "limit": limits, "rows": rows}


def _limit(mode: str, seconds: float) -> dict[str, Any]:
    both = limit.measure(mode, seconds)
    alone = limit.measure(mode, seconds, processes=1)
    return both | {"p50": alone["p50"]}


def _cells(name: str, mode: str, seconds: float, label: str) -> dict[str, dict[str, float]]:
    with serving(name, mode) as (server, post):
        if (found := label_of(server, post)) != label:
            raise NotRunnable(f"it sees {found} where the limit sees {label}")
        load(server, post, WARM_CLIENTS, WARM_SECONDS)
        return {str(clients): load(server, post, clients, seconds) for clients in CLIENTS}


def _said(cell: dict[str, Any]) -> str:
    return f"{cell['requests_per_second']:.0f} a second"


def fairness(rounds: int) -> dict[str, Any]:
    """Requests a second with 4 and with 16 clients, in turns, in each of five starts.

    Clients keep their connections for the length of a turn. A machine that others share changes its
    speed within a minute, so a start's turns are compared as a whole.
    """
    turns, found = TURNS * rounds, []
    for _ in range(STARTS):
        rates: dict[int, list[float]] = {4: [], 16: []}
        with product("fairness") as server:
            post = photo_post()
            load(server, post, WARM_CLIENTS, WARM_SECONDS)
            for turn in range(turns):
                for clients in rates if turn % 2 else reversed(rates):
                    cell = load(server, post, clients, TURN_SECONDS)
                    rates[clients].append(cell["requests_per_second"])
        four, sixteen = (sum(each) / turns for each in rates.values())
        found.append({"4": four, "16": sixteen})
        print(f"{PRODUCT}: {four:.0f} a second with 4 clients, {sixteen:.0f} with 16", flush=True)
    return {"starts": found, "turns": turns, "seconds": TURN_SECONDS}
