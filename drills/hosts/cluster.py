"""All of it: a host that keeps the data, three that work, and a balancer before them."""

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
from drills.hosts.data import Data, keeping, watching
from drills.hosts.host import Host, hosting
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
    """What runs. hosts: by name, without the one that keeps the data."""

    network: Network
    data: Data
    hosts: dict[str, Host]
    prometheus: Prometheus
    balancer: Balancer

    def statuses(self) -> Counter[str]:
        """How many rows there are of each status."""
        return Counter(row[0] for row in self._rows("SELECT status FROM jobs"))

    def queue(self) -> dict[str, float]:
        """Messages by state, by the broker's own account of now."""
        metrics = next(iter(self.hosts.values())).crew.metrics()
        name = "jobs_queue_messages"
        return {state: metrics.value(name, state=state) for state in QUEUE_STATES}

    def connections(self, name: str) -> int:
        """How many connections to the database are a host's, as the database sees it."""
        address = self.hosts[name].place.address
        callers = "SELECT host(client_addr) FROM pg_stat_activity WHERE client_addr IS NOT NULL"
        return sum(row[0] == address for row in self._rows(callers))

    def ends(self) -> Counter[tuple[str, str]]:
        """Job and status → how often it ended so, by the database's own account."""
        return Counter(asyncio.run(ends(self.data.database_url)))

    def await_ended(self, job_ids: Iterable[str]) -> None:
        """Wait until all of these jobs have."""
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
    """The cluster for the length of the body; then nothing of it is left.

    folder: of a short path, as the broker's socket lies in it. Raises NoNamespaces, NotInstalled.
    """
    with ExitStack() as stack:
        joined = stack.enter_context(network((DATA, *WORKING)))
        kept = joined.hosts[DATA]
        data = stack.enter_context(keeping(kept, folder))
        hosts = {}
        for name in WORKING:
            place = joined.hosts[name]
            hosts[name] = stack.enter_context(hosting(place, folder / name, data.variables))
        for host in hosts.values():
            host.await_ready()
        asyncio.run(watch_ends(data.database_url))
        places = [joined.hosts[name] for name in WORKING]
        prometheus = stack.enter_context(watching(kept, folder, places))
        balancer = Balancer({name: host.api.url for name, host in hosts.items()})
        stack.callback(balancer.close)
        yield Cluster(joined, data, hosts, prometheus, balancer)
