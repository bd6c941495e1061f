"""The cost of metrics, logs and traces: the product with and without them, measured alternately.

Two servers of the same code differ by a few per cent, by their memory layout; so there are several
pairs of them.
"""

from typing import Any

from benchmarks.load import Post, load
from benchmarks.processes import Server
from benchmarks.subjects import photo_post, product
from benchmarks.throughput import WARM_CLIENTS, WARM_SECONDS

CLIENTS = 16
TURN_SECONDS = 2.0  # the speed of a shared machine changes within a minute
STARTS = 3  # of a pair of servers, for each round
TURNS = 4  # of each pair
BARE = ("python", "-m", "benchmarks.bare_server")


def measure(rounds: int) -> dict[str, Any]:
    """Requests a second with 16 clients, with everything on and with everything off, in pairs."""
    found: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(rounds * STARTS):
        with (
            product("observability-on") as on,
            product("observability-off", command=BARE, LOG_LEVEL="ERROR") as off,
        ):
            _alternate({"on": on, "off": off}, photo_post(), found)
    return found


def _alternate(servers: dict[str, Server], post: Post, found: dict[str, list[float]]) -> None:
    for server in servers.values():
        load(server, post, WARM_CLIENTS, WARM_SECONDS)
    for turn in range(TURNS):
        for which in ("on", "off") if turn % 2 else ("off", "on"):
            cell = load(servers[which], post, CLIENTS, TURN_SECONDS)
            found[which].append(cell["requests_per_second"])
