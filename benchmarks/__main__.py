"""`python -m benchmarks`: measures the chosen sections, writes results.json, then the page."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import observability, operations, overload, report, scrape, soak, throughput
from benchmarks.machine import machine, versions
from benchmarks.paths import RESULTS, ROOT
from benchmarks.processes import NotRunnable, need
from benchmarks.subjects import NAMES

Section = Callable[[argparse.Namespace], dict[str, Any]]
SECTIONS: dict[str, Section] = {
    "throughput": lambda given: throughput.measure(given.seconds, given.rounds, given.only),
    "fairness": lambda given: throughput.fairness(given.rounds),
    "overload": lambda given: overload.measure(given.seconds, given.rounds),
    "observability": lambda given: observability.measure(given.rounds),
    "scrape": lambda given: scrape.measure(given.replaced),
    "starts": lambda _: operations.starts(),
    "memory": lambda _: operations.memory(),
    "photo12mp": lambda _: operations.large_photo(),
    "soak": lambda given: soak.measure(given.minutes),
}
DEFAULT = [name for name in SECTIONS if name != "soak"]


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name}; there are: {', '.join(known)}")
        return names

    return read


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each comparison")
    parser.add_argument("--seconds", type=float, default=6, help="length of each load")
    parser.add_argument("--quick", action="store_true", help="one round, 2 seconds")
    parser.add_argument("--only", type=_names(list(NAMES)), default=[], help="subjects")
    parser.add_argument("--sections", type=_names(list(SECTIONS)), default=DEFAULT)
    parser.add_argument("--replaced", type=int, default=scrape.REPLACED, help="for scrape")
    parser.add_argument("--minutes", type=float, default=10, help="length of the soak")
    parser.add_argument("--keep", action="store_true", help="keep the other sections' results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds = 1, 2
    return given


def main() -> None:
    """Measure section by section; the results so far are always on disk."""
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # as Ctrl-C, so that everything that was started is terminated
    given = arguments()
    need("wrk", "wrk")
    if "overload" in given.sections:
        need("h2load", "nghttp2-client")
        need("nginx", "nginx-light")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    previous = json.loads(RESULTS.read_text()) if given.keep and RESULTS.exists() else {}
    names = (given.only or list(NAMES)) if "throughput" in given.sections else []
    results = previous | {
        "machine": machine(),
        "versions": previous.get("versions", {}) | versions(names),
        "runs": previous.get("runs", {}),
    }
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    run = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `{command}`"
    for name in given.sections:
        print(f"== {name}", flush=True)
        try:
            results[name] = SECTIONS[name](given)
            results["runs"][name] = run
        except (NotRunnable, OSError, subprocess.SubprocessError) as error:  # the rest goes on
            print(f"{name}: could not be measured: {error}", flush=True)
            results.pop(name, None)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    report.render(results, given.page)
    print(f"{RESULTS}\n{given.page}")


if __name__ == "__main__":
    main()
