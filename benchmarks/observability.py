"""What metrics, logs and traces cost: the product against itself without them, A B B A."""

from typing import Any

from benchmarks.load import load
from benchmarks.subjects import photo_post, product
from benchmarks.throughput import WARM_CALLERS, WARM_SECONDS

CALLERS = 16
ORDER = ("on", "off", "off", "on")
BARE = ("python", "-m", "benchmarks.bare_server")


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """Requests a second with 16 callers, with everything on and with everything off."""
    found: dict[str, list[float]] = {"on": [], "off": []}
    for which in ORDER * rounds:
        name = f"observability-{which}"
        server_of = (
            product(name) if which == "on" else product(name, command=BARE, LOG_LEVEL="ERROR")
        )
        with server_of as server:
            load(server, photo_post(), WARM_CALLERS, WARM_SECONDS)
            rate = load(server, photo_post(), CALLERS, seconds)["requests_per_second"]
        found[which].append(rate)
        print(f"observability {which}: {rate:.0f} a second", flush=True)
    return found
