"""Runs four hosts on this machine and tells what became of them: `python -m drills.hosts`."""

import sys
import tempfile
from pathlib import Path

from drills.__main__ import INTERRUPTED, heed_endings, say
from drills.hosts import story
from drills.hosts.cluster import Cluster, standing
from drills.hosts.network import NoNamespaces
from drills.hosts.story import Cut
from drills.programs import NotInstalled


def tell(cluster: Cluster) -> None:
    """Do to them all that the test does, and print what was seen."""
    spread = story.spread(cluster)
    say(f"accepted by      {spread.accepted}")
    say(f"run by           {spread.ran}")
    say(f"messages ready   {spread.ready}")
    sums = story.sums(cluster)
    for what, value in sums.said.items():
        say(f"sum of {what}: {value:g} by Prometheus, {sums.true[what]:g} in truth")
    back = story.returning(cluster, "b")
    _tell_cut(back.cut)
    say(
        f"  back: ready after {back.ready_seconds:.1f} s, ran a job after "
        f"{back.working_seconds:.1f} s; its late end was refused"
    )
    lost = story.losing(cluster, "c")
    _tell_cut(lost.cut)
    say("  killed; of its {} connections the database keeps {}".format(*lost.connections))
    ended = story.ending(cluster)
    twice = sum(times != 1 for times in ended.ends.values())
    say(f"{len(ended.accepted)} jobs accepted; rows: {dict(ended.statuses)}; ended twice: {twice}")


def _tell_cut(cut: Cut) -> None:
    say(f"host {cut.name} cut off")
    say(f"  its job was run by {cut.runner} and ended {cut.seconds:.1f} s after the cut")
    say(f"  requests that had to be sent to another host, by the host that failed: {cut.failed}")
    say(f"  up: {cut.up}")


def main() -> None:
    """Run it; exits with advice where this machine cannot."""
    heed_endings()
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        try:
            with standing(Path(folder)) as cluster:
                tell(cluster)
        except (NoNamespaces, NotInstalled, TimeoutError) as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
