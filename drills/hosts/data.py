"""The host with the data services: PostgreSQL, Valkey and S3, and Prometheus."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.hosts.network import Namespace
from drills.monitoring import PROMETHEUS
from drills.postgres import run_postgres
from drills.programs import binary, running
from drills.prometheus import Prometheus
from drills.s3 import BUCKET, serving_s3
from drills.valkey import Valkey, serving_valkey
from project.local_stack import prometheus
from project.local_stack.configs import Config, prometheus_config
from project.local_stack.write_config import write_config
from project.settings import Settings

POSTGRES_PORT, VALKEY_PORT, S3_PORT, PROMETHEUS_PORT = 5432, 6379, 9000, 9090
API_METRICS_PORT, WORKER_METRICS_PORT = 9464, 9191
SCRAPES = {"vitrine-api": API_METRICS_PORT, "vitrine-worker": WORKER_METRICS_PORT}
# A host that loses power closes no connection. By default the server probes idle ones after two
# hours, and gives up on unacknowledged data after a quarter of an hour.
OPTIONS = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "8s",
}


@dataclass(frozen=True)
class Data:
    """The data services. variables: environment variables of the hosts that use them."""

    valkey: Valkey
    database_url: str
    variables: dict[str, object]


@contextmanager
def run_data_services(namespace: Namespace, folder: Path) -> Iterator[Data]:
    """The data services in a namespace while the context is open. Raises NotInstalled."""
    address = namespace.address
    with ExitStack() as stack:
        with namespace.entered():
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
def run_prometheus(
    namespace: Namespace, folder: Path, hosts: Sequence[Namespace]
) -> Iterator[Prometheus]:
    """Prometheus in a namespace, with every host in each scrape job. Raises NotInstalled."""
    targets = {job: [f"{host.address}:{port}" for host in hosts] for job, port in SCRAPES.items()}
    write_config(folder / prometheus.CONFIG, config(targets))
    command = prometheus.command(binary(*PROMETHEUS), PROMETHEUS_PORT, folder)
    listen = f"{namespace.address}:{PROMETHEUS_PORT}"
    command = [word.replace(f"127.0.0.1:{PROMETHEUS_PORT}", listen) for word in command]
    with ExitStack() as stack:
        with namespace.entered():
            started = running(command, f"http://{listen}", log=folder / "prometheus.log")
            stack.enter_context(started)
        yield Prometheus(f"http://{listen}")


def config(targets: dict[str, list[str]]) -> Config:
    """The shipped prometheus.yml with these targets, one scrape a second and no rules."""
    first = {job: addresses[0] for job, addresses in targets.items()}
    made = prometheus_config(Settings(_env_file=None), addresses=first)
    for job in made["scrape_configs"]:
        job["static_configs"] = [{"targets": targets[job["job_name"]]}]
    made["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    del made["rule_files"]
    return made
