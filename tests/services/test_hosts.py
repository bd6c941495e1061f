"""Four hosts: one keeps the data, three take requests and run jobs; two of those are cut off."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from drills.hosts import scenario
from drills.hosts.cluster import WORKING, Cluster, standing
from drills.hosts.network import NoNamespaces
from drills.hosts.scenario import Cut, Ended, Lost, Returned, Spread, Sums
from drills.programs import NotInstalled

BACK, GONE = "b", "c"

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Told:
    """What was seen, in the order in which it was done."""

    spread: Spread
    sums: Sums
    returned: Returned
    lost: Lost
    ended: Ended


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        with standing(tmp_path_factory.mktemp("hosts")) as cluster:
            yield cluster
    except (NoNamespaces, NotInstalled) as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> Told:
    return Told(
        scenario.spread(cluster),
        scenario.sums(cluster),
        scenario.returning(cluster, BACK),
        scenario.losing(cluster, GONE),
        scenario.ending(cluster),
    )


@pytest.fixture(params=["returned", "lost"])
def cut(request: pytest.FixtureRequest, told: Told) -> Cut:
    return getattr(told, request.param).cut


def test_jobs_are_accepted_and_run_by_every_host(told):
    """Whoever accepts a job, any of them runs it."""
    assert set(told.spread.accepted) == set(told.spread.ran) == set(WORKING)
    assert all(told.spread.accepted.values())
    assert all(told.spread.ran.values())


def test_every_instance_says_the_same_of_the_queue(told):
    """It is the broker's, so its messages and their age are for max(), never for sum()."""
    assert len(told.spread.ready) == len(told.spread.sent) == len(WORKING)
    assert len(set(told.spread.ready.values())) == 1
    earliest, latest = zip(*told.spread.sent.values(), strict=True)
    assert max(earliest) <= min(latest)  # one moment fits what all of them say


def test_what_prometheus_sums_over_the_hosts_is_what_happened(told):
    """Six targets with an instance each: requests as sent, jobs as the database has them."""
    assert told.sums.instances == {"vitrine-api": len(WORKING), "vitrine-worker": len(WORKING)}
    assert told.sums.found == told.sums.true
    assert all(told.sums.true.values())


def test_a_host_that_is_cut_off_fails_nobody_elsewhere(cut):
    """What was under way there is sent to another; nothing else fails."""
    assert set(cut.failed) == {cut.name}


def test_what_a_host_had_in_hand_is_run_by_another(cut):
    """Once its lease has lapsed and a sweep has seen it."""
    assert cut.runner in set(WORKING) - {cut.name}


def test_prometheus_sees_which_host_is_away(cut, cluster):
    """Its two targets, and no others."""
    address = cluster.hosts[cut.name].namespace.address
    away = {instance.partition(":")[0] for instance, up in cut.up.items() if not up}
    assert away == {address}
    assert len(cut.up) == 2 * len(WORKING)


def test_a_host_that_comes_back_ends_nothing_that_another_has(told):
    """Its late end is refused, and nothing of it stays in the queue."""
    assert told.returned.refused
    assert set(told.returned.queue.values()) == {0}


def test_the_database_lets_go_of_a_host_that_died_without_a_word(told):
    """Its connections would else count against all hosts' for hours."""
    before, after = told.lost.connections
    assert before > 0
    assert after == 0


def test_every_job_that_was_accepted_succeeds_exactly_once(told):
    """Whichever host accepted it, and whatever became of that one."""
    accepted = told.ended.accepted
    assert len(set(accepted)) == len(accepted)
    assert told.ended.statuses == {"succeeded": len(accepted)}
    assert told.ended.ends == {(job_id, "succeeded"): 1 for job_id in accepted}
