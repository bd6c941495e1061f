"""Runs drills and prints a table: `python -m drills [ALERT…]`, all of them by default."""

import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from drills.drill import drill
from drills.faults import FAULTS
from drills.programs import NotInstalled
from drills.stack import FACTOR, standing
from drills.traffic import Traffic, healthy

WARMUP_ROUNDS = 5  # of healthy traffic before the first fault, so that there is a budget to burn
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130  # exit code, as shells report Ctrl-C
HEAD = ("alert", "fault", "seconds to the page", "seconds to resolution")


def show(text: str) -> None:
    """Print a line, unbuffered."""
    print(text, flush=True)  # noqa: T201 - the output of a drill


def row(*cells: str) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def run(names: list[str], folder: Path) -> None:
    """Run the drills of these alerts one after another, in one stack under healthy traffic."""
    with standing(folder) as stack, Traffic(stack.url, healthy(), stack.key) as traffic:
        traffic.await_each(WARMUP_ROUNDS)
        show(f"every window of the shipped files divided by {FACTOR:g}\n")
        show(row(*HEAD))
        show(row(*["---"] * len(HEAD)))
        for name in names:
            done = drill(stack, FAULTS[name])
            times = (f"{done.page_seconds:.1f}", f"{done.resolved_seconds:.1f}")
            show(row(name, done.fault.text, *times))


def handle_signals() -> None:
    """Treat SIGTERM and SIGHUP like Ctrl-C."""
    for number in SIGNALS:
        signal.signal(number, interrupt)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt once; further signals do not interrupt the clean-up."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(names: list[str]) -> None:
    """Run the named drills.

    Exits with advice where a name or a program is unknown, and with the alert that did not arrive.
    """
    if unknown := set(names) - set(FAULTS):
        sys.exit(f"no drill for {', '.join(sorted(unknown))}; there are: {', '.join(FAULTS)}")
    handle_signals()
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        try:
            run(names or list(FAULTS), Path(folder))
        except (NotInstalled, TimeoutError) as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main(sys.argv[1:])
