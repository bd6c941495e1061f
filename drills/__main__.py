"""Runs drills by hand and prints a table: `python -m drills [ALERT…]`, all of them by default."""

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

USUAL_ROUNDS = 5  # of healthy traffic before the first fault, so that there is something to burn
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130  # as a shell says it
HEAD = ("alert", "fault", "seconds to the page", "seconds to resolution")


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201 - what a drill shows is printed


def row(*cells: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def run(names: list[str], folder: Path) -> None:
    """Run the drills of these alerts, one after another, in one stack under healthy traffic."""
    with standing(folder) as stack, Traffic(stack.url, healthy()) as traffic:
        traffic.await_each(USUAL_ROUNDS)
        say(f"every window of the shipped files divided by {FACTOR:g}\n")
        say(row(*HEAD))
        say(row(*["---"] * len(HEAD)))
        for name in names:
            done = drill(stack, FAULTS[name])
            times = (f"{done.page_seconds:.1f}", f"{done.resolved_seconds:.1f}")
            say(row(name, done.fault.text, *times))


def heed_endings() -> None:
    """Hear whoever ends this process as Ctrl-C is heard."""
    for number in ENDINGS:
        signal.signal(number, end)


def end(_number: int, _frame: FrameType | None) -> None:
    """End, and what was started too; whoever asks twice does not keep that from being done."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(names: list[str]) -> None:
    """Run what is named.

    Exits with advice where a name or a program is missing, and says which alert did not come.
    """
    if unknown := set(names) - set(FAULTS):
        sys.exit(f"no drill for {', '.join(sorted(unknown))}; there are: {', '.join(FAULTS)}")
    heed_endings()
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        try:
            run(names or list(FAULTS), Path(folder))
        except (NotInstalled, TimeoutError) as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main(sys.argv[1:])
