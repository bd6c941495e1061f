"""What happens to the hosts, step by step, and what is observed.

Nothing here judges: the test does, and the reader of `python -m drills.hosts`.
"""

import time
from collections import Counter
from dataclasses import dataclass

import httpx2

from drills.hosts.balancer import Clients
from drills.hosts.cluster import Cluster
from drills.hosts.host import LONG, QUICK, Host
from drills.prometheus import Sample
from drills.server import OK
from drills.waiting import DEADLINE, wait_until

JOBS, PREDICTIONS, WAITING = 12, 30, 2
AGE, READY = "jobs_oldest_message_age_seconds", 'jobs_queue_messages{state="ready"}'
SUMS = {
    "jobs that succeeded": 'sum(jobs_total{outcome="succeeded"})',
    "predictions answered": f'sum(http_requests_total{{handler="/v1/models/{QUICK}/predictions"}})',
    "jobs accepted": f'sum(http_requests_total{{handler="/v1/models/{LONG}/jobs",status="202"}})',
}


@dataclass(frozen=True)
class Spread:
    """Distribution of jobs from one balancer: host → number that it accepted, and ran.

    ready: instance → ready messages that it reports. sent: instance → the interval in which the
    oldest of them was sent, according to the age that it reports.
    """

    accepted: dict[str, int]
    ran: dict[str, int]
    ready: dict[str, float]
    sent: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Sums:
    """Sums over all hosts by Prometheus, and the true ones. instances: scrape job → number."""

    found: dict[str, float]
    true: dict[str, float]
    instances: dict[str, int]


@dataclass(frozen=True)
class Cut:
    """A partitioned host. runner: the host that ran its job, `seconds` after the partition.

    failed: host → requests that had to be sent to another. up: instance → `up` in Prometheus.
    """

    name: str
    job_id: str
    runner: str
    seconds: float
    failed: dict[str, int]
    up: dict[str, float]


@dataclass(frozen=True)
class Returned:
    """A host after its partition: seconds until it was ready, and until it ran jobs again.

    refused: whether its late result of the job was. queue: state → messages at the end.
    """

    cut: Cut
    refused: bool
    ready_seconds: float
    working_seconds: float
    queue: dict[str, float]


@dataclass(frozen=True)
class Lost:
    """A host that never came back. connections: to the database, before and after."""

    cut: Cut
    connections: tuple[int, int]


@dataclass(frozen=True)
class Ended:
    """How all jobs ended. statuses: of the rows; ends: (job, final status) → how often."""

    accepted: list[str]
    statuses: dict[str, int]
    ends: dict[tuple[str, str], int]


def spread(cluster: Cluster) -> Spread:
    """Hold a job at each host, queue more, read the queue from every instance; then release."""
    prometheus = cluster.prometheus
    wait_until(lambda: prometheus.value("sum(up)") == 2 * len(cluster.hosts), "all are scraped")
    held = _held(cluster)
    waiting = [cluster.balancer.submit() for _ in range(WAITING)]
    agreed = f"count({READY} >= {WAITING} and {READY} == scalar(min({READY})))"
    wait_until(
        lambda: prometheus.value(agreed) == len(cluster.hosts), "each host has seen what waits"
    )
    now = time.time()
    ready = _by_instance(prometheus.query(READY, now))
    # A sample has the time at which its scrape began; the age was read at some time in that scrape.
    begins = _by_instance(prometheus.query(f"timestamp({AGE}) - {AGE}", now))
    lengths = _by_instance(prometheus.query("scrape_duration_seconds", now))
    sent = {instance: (begin, begin + lengths[instance]) for instance, begin in begins.items()}
    for host in cluster.hosts.values():
        host.release()
    job_ids = {*held.values(), *waiting, *(cluster.balancer.submit() for _ in range(JOBS))}
    cluster.await_ended(job_ids)
    hosts = cluster.hosts.items()
    accepted = {name: len(host.api.records("job_accepted")) for name, host in hosts}
    ran = {name: len(host.started(job_ids)) for name, host in hosts}
    return Spread(accepted, ran, ready, sent)


def sums(cluster: Cluster) -> Sums:
    """Request predictions from every host, and compare the sums of Prometheus."""
    for _ in range(PREDICTIONS):
        cluster.balancer.predict()
    jobs = len(cluster.balancer.jobs)
    true = {
        "jobs that succeeded": float(cluster.statuses()["succeeded"]),
        "predictions answered": float(cluster.balancer.answered.total() - jobs),
        "jobs accepted": float(jobs),
    }

    def measured() -> dict[str, float]:
        return {what: cluster.prometheus.value(expr) for what, expr in SUMS.items()}

    wait_until(lambda: measured() == true, f"Prometheus reports {true}")
    found = cluster.prometheus.query("count by (job) (count by (job, instance) (up))")
    instances = {sample.labels["job"]: int(sample.value) for sample in found}
    return Sums(measured(), true, instances)


def returning(cluster: Cluster, name: str) -> Returned:
    """Partition a host until its lease has lapsed and another has run its job; then heal it."""
    host = cluster.hosts[name]
    job_id = _held(cluster)[name]
    with Clients(cluster.balancer):
        cut = _cut(cluster, name, job_id)
        host.release()  # it finishes its job now, too late
        began = time.monotonic()
        cluster.network.heal(name)
        wait_until(lambda: _ready(host), f"{name} is ready again")
        ready_seconds = time.monotonic() - began
        cluster.balancer.admit(name)
        refused = wait_until(lambda: host.refused(job_id), f"{name}'s late result is refused")
        known = len(host.job_workers.records("job_started"))
        wait_until(
            lambda: len(host.job_workers.records("job_started")) > known, f"{name} works again"
        )
        working_seconds = time.monotonic() - began
    cluster.await_ended(cluster.balancer.jobs)
    return Returned(cut, refused, ready_seconds, working_seconds, cluster.queue())


def losing(cluster: Cluster, name: str) -> Lost:
    """Partition a host in the middle of a job, and kill all of its processes."""
    job_id = _held(cluster)[name]
    before = cluster.connections(name)
    with Clients(cluster.balancer):
        cut = _cut(cluster, name, job_id)
        cluster.hosts[name].kill()
    cluster.await_ended(cluster.balancer.jobs)
    wait_until(lambda: not cluster.connections(name), f"the database lets go of {name}")
    return Lost(cut, (before, cluster.connections(name)))


def ending(cluster: Cluster) -> Ended:
    """Count the final statuses."""
    return Ended(list(cluster.balancer.jobs), cluster.statuses(), cluster.ends())


def _held(cluster: Cluster) -> dict[str, str]:
    """Have every host hold one running job; returns host → job. There must be no other job."""
    for host in cluster.hosts.values():
        host.hold()
    job_ids = {cluster.balancer.submit() for _ in cluster.hosts}

    def in_hand() -> dict[str, str]:
        begun = {name: host.started(job_ids) for name, host in cluster.hosts.items()}
        return {name: found[-1] for name, found in begun.items() if found}

    wait_until(lambda: len(in_hand()) == len(cluster.hosts), "each host has a job in hand")
    return in_hand()


def _cut(cluster: Cluster, name: str, job_id: str) -> Cut:
    """Partition a host with a running job, under traffic; another host then runs that job."""
    balancer, before = cluster.balancer, Counter(cluster.balancer.failed)
    answered = balancer.answered[name]
    wait_until(lambda: balancer.answered[name] > answered, f"{name} answers")
    others = [host for host in cluster.hosts.values() if host.name != name]
    began = time.monotonic()
    cluster.network.cut(name)
    for host in others:
        host.release()
    runner = wait_until(lambda: _runner(others, job_id), f"another host than {name} runs its job")
    cluster.await_ended([job_id])
    seconds = time.monotonic() - began
    wait_until(lambda: balancer.failed[name] > before[name], f"{name} fails its clients")
    up = wait_until(lambda: _seen(cluster, name), f"Prometheus sees that {name} alone is away")
    return Cut(name, job_id, runner, seconds, dict(balancer.failed - before), up)


def _seen(cluster: Cluster, name: str) -> dict[str, float]:
    """`up` by instance, once it is 0 for this host alone; else {}."""
    up = _by_instance(cluster.prometheus.query("up"))
    away = {instance for instance, value in up.items() if not value}
    address = cluster.hosts[name].namespace.address
    return up if away == {instance for instance in up if instance.startswith(f"{address}:")} else {}


def _runner(hosts: list[Host], job_id: str) -> str:
    """The host that has started the job; empty where none has."""
    return next((host.name for host in hosts if host.started({job_id})), "")


def _ready(host: Host) -> bool:
    try:
        return httpx2.get(f"{host.api.url}/ready", timeout=DEADLINE).status_code == OK
    except httpx2.TransportError:
        return False


def _by_instance(samples: list[Sample]) -> dict[str, float]:
    return {sample.labels["instance"]: sample.value for sample in samples}
