"""The page's sections after throughput: one function each, from a section's results to Markdown."""

from collections.abc import Callable
from typing import Any

from benchmarks.overload import FULL
from benchmarks.tables import Lines, spread, table

MIB = 2**20


def _fairness(found: dict[str, Any]) -> Lines:
    yield from ("## Four clients against sixteen", "")
    yield (
        f"Requests a second in five starts, over {found['turns']} turns of {found['seconds']:g} s "
        "with 4 clients and as many with 16; clients keep their connections for a turn."
    )
    yield ""
    rows = [
        (f"{item['4']:.0f}", f"{item['16']:.0f}", f"{item['4'] / item['16']:.2f}")
        for item in found["starts"]
    ]
    yield from table(("4 clients", "16 clients", "ratio"), rows)


def _overload(found: dict[str, Any]) -> Lines:
    rounds = found["rounds"]
    peak = spread([item["peak"] for item in rounds])
    full = spread([item["p99_full"] for item in rounds], 1000)
    yield from ("## Overload", "")
    yield (
        f"The peak is {peak} requests a second; with {FULL} clients the p99 is {full} ms. "
        f"{found['clients']} clients then send at a fixed rate each, from the same cores. "
        "A client waits for its answer, so less may be sent than is asked for. The first second, "
        "in which they connect, is in the first p99 and in /health's times, and in no other cell. "
        "Latencies in milliseconds."
    )
    yield ""
    rates = ("asked", "sent", "goodput", "refused", "other")
    times = ("onset_p99", "p50", "p99", "refused_p50", "health_p99", "health_worst")
    rows = []
    for factor in rounds[0]["steps"]:
        steps = [item["steps"][factor] for item in rounds]
        plain = [spread([step[key] for step in steps]) for key in rates]
        generator = spread([step["generator_processors"] for step in steps], digits=2)
        late = (spread([step[key] for step in steps], 1000) for key in times)
        rows.append((f"{factor} x", *plain, generator, *late))
    head = (
        *("load", "asked/s", "sent/s", "goodput/s", "rejected/s", "other answers"),
        "processors that the client took",
        *(
            "p99 of the first second",
            "p50",
            "p99",
            "p50 of rejections",
            "/health p99",
            "/health worst",
        ),
    )
    yield from table(head, rows)
    yield from _room([item["room"] for item in rounds])


def _room(found: list[dict[str, float]]) -> Lines:
    alone = spread([item["alone"] for item in found])
    beside = spread([item["beside"] for item in found])
    share = spread([item["beside"] / item["alone"] for item in found], digits=2)
    yield (
        "The clients and the kernel that carries their pictures take their part of the same cores. "
        f"With 10 times the peak sent to an nginx that only rejects, the in-process limit falls "
        f"from {alone} to {beside} images a second: {share} of it is what any server could reach."
    )
    yield ""


def _observability(found: dict[str, Any]) -> Lines:
    yield from ("## What observability costs", "")
    yield from ("Two servers side by side, loaded in turns of two seconds; several such pairs.", "")
    rows = [(which, spread(values)) for which, values in found.items()]
    yield from table(("metrics, logs, traces", "requests/s with 16 clients"), rows)
    pairs = [on / off for on, off in zip(found["on"], found["off"], strict=True)]
    whole = sum(found["on"]) / sum(found["off"])
    yield f"Over all turns together {whole:.3f}; turn by turn {spread(pairs, digits=2)}."
    yield ""


def _scrape(found: dict[str, Any]) -> Lines:
    names = {
        "fresh": "fresh, 4 workers without models",
        "later": f"the same after {found['replaced']} replaced workers",
        "product": "the whole product",
    }
    rows = [
        (name, f"{found[key]['seconds'] * 1000:.1f}", f"{found[key]['bytes'] / 1024:.0f}")
        for key, name in names.items()
    ]
    yield from ("## A scrape", "")
    yield from table(("server", "ms (median)", "KiB"), rows)


def _starts(found: dict[str, Any]) -> Lines:
    yield from ("## Starts", "", "Seconds until every worker serves.", "")
    rows = [(which, spread(values, digits=1)) for which, values in found.items()]
    yield from table(("cache", "seconds"), rows)


def _memory(found: dict[str, Any]) -> Lines:
    yield from ("## Memory", "", "All processes together (PSS), after 5 s with 16 clients.", "")
    rows = [(workers, f"{size / MIB:.0f}") for workers, size in found.items()]
    yield from table(("workers", "MiB"), rows)


def _large_photo(found: dict[str, Any]) -> Lines:
    plain, server = found["plain"] * 1000, found["server"] * 1000
    yield from ("## A photo of 12 million pixels", "")
    yield (
        f"Decode and preprocess: {plain:.1f} ms in plain steps, {server:.1f} ms in the server "
        f"({plain / server:.1f} times as fast)."
    )
    yield ""


def _soak(found: dict[str, Any]) -> Lines:
    first, last, growth = (
        found[key] / MIB for key in ("first_minute", "last_minute", "bytes_per_minute")
    )
    yield from ("## Soak", "")
    yield (
        f"{found['minutes']:g} minutes with 16 clients: {first:.0f} MiB (PSS) in the first "
        f"minute, {last:.0f} MiB in the last, {growth:+.2f} MiB a minute."
    )
    yield ""


SECTIONS: dict[str, Callable[[dict[str, Any]], Lines]] = {
    "fairness": _fairness,
    "overload": _overload,
    "observability": _observability,
    "scrape": _scrape,
    "starts": _starts,
    "memory": _memory,
    "photo12mp": _large_photo,
    "soak": _soak,
}
