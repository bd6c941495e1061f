"""The cluster: one host with the data services, three with the product, and a load balancer."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from drills.audit import ends, watch_ends
from drills.hosts.balancer import Balancer
from drills.hosts.data import Data, run_data_services, run_prometheus
from drills.hosts.host import Host, run_host
from drills.hosts.network import Network, network
from drills.prometheus import Prometheus
from drills.waiting import wait_until
from project.db.engine import open_database
from project.observability.metrics import QUEUE_STATES
from project.settings import Settings

DATA, WORKING = "data", ("a", "b", "c")
END_DEADLINE = 120.0


@dataclass(frozen=True)
class Cluster:
    """The running cluster. hosts: by name, without the one with the data services."""

    network: Network
    data: Data
    hosts: dict[str, Host]
    prometheus: Prometheus
    balancer: Balancer

    def statuses(self) -> Counter[str]:
        """Number of rows by status."""
        return Counter(row[0] for row in self._rows("SELECT status FROM jobs"))

    def queue(self) -> dict[str, float]:
        """Messages by state, as the broker reports them now."""
        metrics = next(iter(self.hosts.values())).job_workers.metrics()
        name = "jobs_queue_messages"
        return {state: metrics.value(name, state=state) for state in QUEUE_STATES}

    def connections(self, name: str) -> int:
        """Number of a host's connections to the database, as the database reports it."""
        address = self.hosts[name].namespace.address
        callers = "SELECT host(client_addr) FROM pg_stat_activity WHERE client_addr IS NOT NULL"
        return sum(row[0] == address for row in self._rows(callers))

    def ends(self) -> Counter[tuple[str, str]]:
        """Job and final status → how often it got it, as the database recorded it."""
        return Counter(asyncio.run(ends(self.data.database_url)))

    def await_ended(self, job_ids: Iterable[str]) -> None:
        """Wait until all of these jobs have ended."""
        wanted = set(job_ids)
        wait_until(
            lambda: wanted <= {job_id for job_id, _ in self.ends()},
            f"{len(wanted)} jobs have ended",
            END_DEADLINE,
        )

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        async def ask() -> list[tuple[Any, ...]]:
            settings = Settings(_env_file=None, database_url=self.data.database_url)
            async with open_database(settings) as engine, engine.connect() as connection:
                return [tuple(row) for row in await connection.execute(text(statement))]

        return asyncio.run(ask())


@contextmanager
def standing(folder: Path) -> Iterator[Cluster]:
    """The cluster while the context is open.

    folder: with a short path, as the broker's socket is in it. Raises NoNamespaces, NotInstalled.
    """
    with ExitStack() as stack:
        net = stack.enter_context(network((DATA, *WORKING)))
        data_host = net.hosts[DATA]
        data = stack.enter_context(run_data_services(data_host, folder))
        hosts = {}
        for name in WORKING:
            namespace = net.hosts[name]
            hosts[name] = stack.enter_context(run_host(namespace, folder / name, data.variables))
        for host in hosts.values():
            host.await_ready()
        asyncio.run(watch_ends(data.database_url))
        namespaces = [net.hosts[name] for name in WORKING]
        prometheus = stack.enter_context(run_prometheus(data_host, folder, namespaces))
        balancer = Balancer({name: host.api.url for name, host in hosts.items()})
        stack.callback(balancer.close)
        yield Cluster(net, data, hosts, prometheus, balancer)
