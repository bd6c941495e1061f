"""The host that keeps everything: PostgreSQL, Valkey and S3, and Prometheus that watches all."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.hosts.network import Place
from drills.monitoring import PROMETHEUS
from drills.postgres import run_postgres
from drills.programs import binary, running
from drills.prometheus import Prometheus
from drills.s3 import BUCKET, serving_s3
from drills.valkey import Valkey, serving_valkey
from project.local_stack import prometheus
from project.local_stack.configs import Config, prometheus_config
from project.local_stack.files import write_config
from project.settings import Settings

POSTGRES_PORT, VALKEY_PORT, S3_PORT, PROMETHEUS_PORT = 5432, 6379, 9000, 9090
API_METRICS_PORT, WORKER_METRICS_PORT = 9464, 9191
SCRAPES = {"vitrine-api": API_METRICS_PORT, "vitrine-worker": WORKER_METRICS_PORT}
# A host that lost its power closes nothing: its connections stay taken until the server asks, which
# by default it does after two hours; what it was being told at that moment, for a quarter of one.
OPTIONS = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "8s",
}


@dataclass(frozen=True)
class Data:
    """What the hosts share. variables: the environment that names it."""

    valkey: Valkey
    database_url: str
    variables: dict[str, object]


@contextmanager
def keeping(place: Place, folder: Path) -> Iterator[Data]:
    """All that keeps something, at that place for the length of the body. Raises NotInstalled."""
    address = place.address
    with ExitStack() as stack:
        with place.entered():
            postgres = stack.enter_context(run_postgres(address, POSTGRES_PORT, OPTIONS))
            options = ["--bind", address, "--port", str(VALKEY_PORT), "--protected-mode", "no"]
            valkey = stack.enter_context(serving_valkey(folder / "valkey", options))
            s3 = stack.enter_context(serving_s3(folder / "s3", address, S3_PORT))
        database_url = postgres.new_database()
        variables: dict[str, object] = {
            "JOBS": "on",
            "DATABASE_URL": database_url,
            "REDIS_URL": f"redis://{address}:{VALKEY_PORT}/0",
            "STORAGE_URL": f"s3://{BUCKET}/jobs",
            **s3.variables,
        }
        yield Data(valkey, database_url, variables)


@contextmanager
def watching(place: Place, folder: Path, hosts: Sequence[Place]) -> Iterator[Prometheus]:
    """Prometheus at that place, with every host in each scrape job. Raises NotInstalled."""
    targets = {job: [f"{host.address}:{port}" for host in hosts] for job, port in SCRAPES.items()}
    write_config(folder / prometheus.CONFIG, config(targets))
    command = prometheus.command(binary(*PROMETHEUS), PROMETHEUS_PORT, folder)
    listen = f"{place.address}:{PROMETHEUS_PORT}"
    command = [word.replace(f"127.0.0.1:{PROMETHEUS_PORT}", listen) for word in command]
    with ExitStack() as stack:
        with place.entered():
            started = running(command, f"http://{listen}", log=folder / "prometheus.log")
            stack.enter_context(started)
        yield Prometheus(f"http://{listen}")


def config(targets: dict[str, list[str]]) -> Config:
    """The shipped prometheus.yml with these targets: a scrape a second, and no rules."""
    first = {job: addresses[0] for job, addresses in targets.items()}
    made = prometheus_config(Settings(_env_file=None), addresses=first)
    for job in made["scrape_configs"]:
        job["static_configs"] = [{"targets": targets[job["job_name"]]}]
    made["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    del made["rule_files"]
    return made
