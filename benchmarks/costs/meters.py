"""Meters of the shared services: PostgreSQL, Valkey and S3, and of the product's log."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
from redis import Redis

from drills.postgres import Postgres
from drills.waiting import DEADLINE

Reading = dict[str, float]
POSTGRES_OPTIONS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "wal_level": "replica",
}
RCLONE_OPTIONS = ("-vv",)
REQUEST = re.compile(r"serve s3: (HEAD|GET|CREATE|LIST|delete)")
VERBS = {"CREATE": "PUT", "delete": "DELETE"}
TRANSACTION = ("BEGIN", "COMMIT", "ROLLBACK")
OURS = ("info", "client|setinfo", "hello", "select")  # of the meter itself, and of connecting


@dataclass
class Meters:
    """The meters. url: of the product's database. logs: log files of the product."""

    url: str
    postgres: Postgres
    valkey: Redis
    s3_log: Path
    s3_data: Path
    logs: list[Path]

    async def prepare(self) -> None:
        """Have PostgreSQL show what it counts."""
        await self._ask("CREATE EXTENSION pg_stat_statements")

    def read(self) -> Reading:
        """All counters since the start."""
        return {
            **asyncio.run(self._database()),
            **self._broker(),
            **self._storage(),
            **self._log(),
            "PostgreSQL: CPU seconds": _cpu(self.postgres.processes()),
        }

    @contextmanager
    def measured(self, into: Reading) -> Iterator[None]:
        """Store the costs of the body in a reading."""
        before = self.read()
        yield
        after = self.read()
        into.update({name: after[name] - before.get(name, 0) for name in after})

    async def statements(self) -> dict[str, int]:
        """Statement, shortened → how often it ran."""
        rows = await self._ask(
            "SELECT query, calls FROM pg_stat_statements"
            " JOIN pg_database ON oid = dbid WHERE datname = $1 AND toplevel",
            self.url.rpartition("/")[2],
        )
        return {" ".join(row["query"].split()): row["calls"] for row in rows}

    async def run(self, statement: str) -> list[asyncpg.Record]:
        """Run a statement in the product's own database."""
        return await self._ask(statement, database=self.url.rpartition("/")[2])

    async def _database(self) -> Reading:
        found = Counter[str]()
        for query, calls in (await self.statements()).items():
            word = query.split(maxsplit=1)[0].rstrip(";").upper()
            found["transactions" if word in TRANSACTION else "statements"] += calls
        (row,) = await self._ask("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS bytes")
        return {
            "PostgreSQL: statements": found["statements"],
            "PostgreSQL: BEGIN, ROLLBACK": found["transactions"],
            "PostgreSQL: WAL bytes": float(row["bytes"]),
        }

    async def _ask(self, statement: str, *values: object, database: str = "postgres") -> list:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=self.postgres.port,
            user="postgres",
            database=database,
            timeout=DEADLINE,
        )
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    def _broker(self) -> Reading:
        stats: Mapping[str, Mapping[str, float]] = self.valkey.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): found["calls"] for name, found in stats.items()}
        everything = self.valkey.info()
        return {
            "Valkey: scripts": calls.get("evalsha", 0),
            "Valkey: commands, those inside scripts too": sum(
                number for name, number in calls.items() if name not in OURS
            ),
            "Valkey: CPU seconds": everything["used_cpu_user_main_thread"]
            + everything["used_cpu_sys_main_thread"],
            "Valkey: bytes in": everything["total_net_input_bytes"],
            "Valkey: bytes out": everything["total_net_output_bytes"],
        }

    def _storage(self) -> Reading:
        verbs = Counter(REQUEST.findall(self.s3_log.read_text(errors="replace")))
        sizes = [path.stat().st_size for path in self.s3_data.rglob("*") if path.is_file()]
        requests = {
            f"S3: {VERBS.get(verb, verb)}": float(verbs[verb])
            for verb in ("CREATE", "GET", "HEAD", "LIST", "delete")
        }
        return {**requests, "S3: bytes kept": float(sum(sizes))}

    def _log(self) -> Reading:
        lines = [line for path in self.logs for line in path.read_bytes().splitlines()]
        return {"log: lines": len(lines), "log: bytes": sum(len(line) + 1 for line in lines)}


def _cpu(processes: list[psutil.Process]) -> float:
    """Processor time of these processes and their ended children."""
    total = 0.0
    for number, process in enumerate(processes):
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system
            if not number:
                total += used.children_user + used.children_system
    return total


def each(reading: Reading, number: float, idle: Callable[[str], float]) -> Reading:
    """Cost of one of so many, less the idle cost."""
    return {name: max(0.0, value - idle(name)) / number for name, value in reading.items()}
