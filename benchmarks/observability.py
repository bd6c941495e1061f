"""What metrics, logs and traces cost: the product beside itself without them, in short turns."""

from typing import Any

from benchmarks.load import Post, load
from benchmarks.processes import Server
from benchmarks.subjects import photo_post, product
from benchmarks.throughput import WARM_CALLERS, WARM_SECONDS

CALLERS = 16
TURN_SECONDS = 2.0  # a machine that others share changes its speed within a minute
PAIRS = 8  # for each round
BARE = ("python", "-m", "benchmarks.bare_server")


def measure(rounds: int) -> dict[str, Any]:
    """Requests a second with 16 callers, with everything on and with everything off, in pairs."""
    post = photo_post()
    found: dict[str, list[float]] = {"on": [], "off": []}
    with (
        product("observability-on") as on,
        product("observability-off", command=BARE, LOG_LEVEL="ERROR") as off,
    ):
        servers = {"on": on, "off": off}
        for server in servers.values():
            load(server, post, WARM_CALLERS, WARM_SECONDS)
        for pair in range(rounds * PAIRS):
            for which in ("on", "off") if pair % 2 else ("off", "on"):
                found[which].append(_rate(servers[which], post))
    return found


def _rate(server: Server, post: Post) -> float:
    return load(server, post, CALLERS, TURN_SECONDS)["requests_per_second"]
