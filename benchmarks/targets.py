"""What the figures should be, what they are, and whether that is enough; nothing is assumed."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks import overload
from benchmarks.stats import median
from benchmarks.subjects import PEER_LIST, PRODUCT

Results = dict[str, Any]
FULL = "16"


@dataclass(frozen=True)
class Target:
    """One line: figure gives the number, or raises KeyError where it was not measured."""

    text: str
    sign: Literal["≥", "≤"]
    bound: float
    figure: Callable[[Results], float]
    unit: str = ""

    def reached(self, results: Results) -> float | None:
        """The figure, or None where it was not measured."""
        try:
            return self.figure(results)
        except (KeyError, ValueError):  # ValueError: the greatest of no peers
            return None

    def holds(self, figure: float) -> bool:
        """Whether that is enough; NaN never is."""
        return figure >= self.bound if self.sign == "≥" else figure <= self.bound


def rate(results: Results, row: str, clients: str = FULL) -> float:
    """Median over the rounds of a subject's requests a second; KeyError where there are none."""
    cells = results["throughput"]["rows"][row]["cells"][clients]
    return median(cell["requests_per_second"] for cell in cells)


def limit(results: Results, mode: str, what: str = "requests_per_second") -> float:
    """Median over the rounds of the in-process limit."""
    return median(item[what] for item in results["throughput"]["limit"][mode])


def best_of(results: Results, mode: str) -> dict[str, float]:
    """Peer (by its folder) → what the best of its variants serves a second at 16 clients."""
    best: dict[str, float] = {}
    for peer in PEER_LIST:
        with suppress(KeyError):  # not measured, or it could not be run
            found = rate(results, f"{peer.name}/{mode}")
            best[peer.folder] = max(found, best.get(peer.folder, 0))
    return best


def best_peer(results: Results, mode: str) -> float:
    """Requests a second of the best peer at 16 clients."""
    return max(best_of(results, mode).values())


def _of_limit(mode: str) -> Callable[[Results], float]:
    return lambda results: rate(results, f"{PRODUCT}/{mode}") / limit(results, mode)


def _of_best(mode: str) -> Callable[[Results], float]:
    return lambda results: rate(results, f"{PRODUCT}/compiled") / best_peer(results, mode)


def _latency(results: Results) -> float:
    cells = results["throughput"]["rows"][f"{PRODUCT}/compiled"]["cells"]["1"]
    return median(cell["p50"] for cell in cells) / limit(results, "compiled", "p50")


def _fairness(results: Results) -> float:
    return float(min(start["4"] / start["16"] for start in results["fairness"]["starts"]))


def _overload(
    figure: Callable[[dict[str, Any], dict[str, float]], float],
    over_rounds: Callable[[list[float]], float] = median,
) -> Callable[[Results], float]:
    def of(results: Results) -> float:
        rounds = results["overload"]["rounds"]
        return over_rounds([figure(item, item["steps"]["10"]) for item in rounds])

    return of


def _observability(results: Results) -> float:
    found = results["observability"]
    return median(on / off for on, off in zip(found["on"], found["off"], strict=True))


def _scrape(results: Results) -> float:
    found = results["scrape"]
    return float(found["later"]["seconds"] / found["fresh"]["seconds"])


def _goodput(item: dict[str, Any], step: dict[str, float]) -> float:
    return step["goodput"] / float(item["peak"])


def _of_room(item: dict[str, Any], step: dict[str, float]) -> float:
    return _goodput(item, step) / (item["room"]["beside"] / item["room"]["alone"])


def _p99(item: dict[str, Any], step: dict[str, float]) -> float:
    return step["p99"] / float(item["p99_full"])


def _onset(item: dict[str, Any], step: dict[str, float]) -> float:
    return step["onset_p99"] / float(item["p99_full"])


def _health(_: dict[str, Any], step: dict[str, float]) -> float:
    return step["health_worst"]


def _second_start(results: Results) -> float:
    return float(max(results["starts"]["warm"]))


_FULL = "requests/s with 16 clients"
TARGETS = (
    Target(f"{_FULL} / limit, fastest backend", "≥", 0.85, _of_limit("compiled")),
    Target(f"{_FULL} / limit, torch as it is", "≥", 0.85, _of_limit("eager")),
    Target(f"{_FULL} / best peer with torch as it is", "≥", 4, _of_best("eager")),
    Target(f"{_FULL} / best peer with our backend inside", "≥", 1.15, _of_best("compiled")),
    Target("requests/s with 4 clients / with 16, worst of five starts", "≥", 0.85, _fairness),
    Target("median latency with one client / in process", "≤", 1.5, _latency),
    Target("goodput at 10 times the peak / peak", "≥", 0.9, _overload(_goodput)),
    Target("the same / what refusing alone leaves of the machine", "≥", 0.9, _overload(_of_room)),
    Target(
        f"p99 of the admitted at 10 times the peak / at {overload.FULL} clients",
        "≤",
        2,
        _overload(_p99),
    ),
    Target("the same in the first second, as they connect", "≤", 2, _overload(_onset)),
    Target("slowest /health at 10 times the peak", "≤", 0.1, _overload(_health, max), " s"),
    Target(f"{_FULL} with observability / without", "≥", 0.97, _observability),
    Target("a scrape after 500 replaced workers / on a fresh server", "≤", 1.5, _scrape),
    Target("start with a warm cache, slowest of three", "≤", 5, _second_start, " s"),
)
