"""Runs four hosts on this machine and prints what happens to them: `python -m drills.hosts`."""

import sys
import tempfile
from pathlib import Path

from drills.__main__ import INTERRUPTED, handle_signals, show
from drills.hosts import scenario
from drills.hosts.cluster import Cluster, standing
from drills.hosts.network import NoNamespaces
from drills.hosts.scenario import Cut
from drills.programs import NotInstalled


def run(cluster: Cluster) -> None:
    """Run the scenario of the test, and print what was observed."""
    spread = scenario.spread(cluster)
    show(f"accepted by      {spread.accepted}")
    show(f"run by           {spread.ran}")
    show(f"messages ready   {spread.ready}")
    sums = scenario.sums(cluster)
    for what, value in sums.found.items():
        show(f"sum of {what}: {value:g} by Prometheus, {sums.true[what]:g} in fact")
    back = scenario.returning(cluster, "b")
    _show_cut(back.cut)
    show(
        f"  back: ready after {back.ready_seconds:.1f} s, ran a job after "
        f"{back.working_seconds:.1f} s; its late result was refused"
    )
    lost = scenario.losing(cluster, "c")
    _show_cut(lost.cut)
    show("  killed; of its {} connections the database keeps {}".format(*lost.connections))
    ended = scenario.ending(cluster)
    twice = sum(times != 1 for times in ended.ends.values())
    show(f"{len(ended.accepted)} jobs accepted; rows: {dict(ended.statuses)}; ended twice: {twice}")


def _show_cut(cut: Cut) -> None:
    show(f"host {cut.name} cut off")
    show(f"  its job was run by {cut.runner} and ended {cut.seconds:.1f} s after the cut")
    show(f"  requests that had to be sent to another host, by the host that failed: {cut.failed}")
    show(f"  up: {cut.up}")


def main() -> None:
    """Run the scenario; exits with advice where this machine cannot."""
    handle_signals()
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        try:
            with standing(Path(folder)) as cluster:
                run(cluster)
        except (NoNamespaces, NotInstalled, TimeoutError) as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
