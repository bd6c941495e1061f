"""compose.yaml: schema, pinned images, isolation, health checks, secrets, and fill-env.sh."""

import io
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from tests.deploy.command import run
from tests.deploy.compose import (
    FOLDER,
    NAMES,
    PRODUCT,
    config,
    environment,
    make_env,
    memory,
    services,
    variables,
)
from tests.deploy.targets import docker_compose
from tests.deploy.vm_files import directives
from tests.ops.tools import ROOT, need, output

BIN = Path(sys.executable).parent
TEXT = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
NGINX = (FOLDER / "edge/nginx.conf").read_text(encoding="utf-8")
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
REQUIRED = set(re.findall(r"\$\{(\w+):\?", TEXT))
ONE_SHOT = {"receivers"}  # runs once and exits
# Programs in each image that a health check or an entry point may use, by its Dockerfile.
PROGRAMS = {
    "vitrine": "python",
    "nginx": "wget /bin/sh",  # busybox
    "postgres": "pg_isready",
    "valkey": "CMD-SHELL /bin/sh",  # Debian, with valkey-cli
    "versitygw": "wget /bin/sh",  # busybox
    "prometheus": "wget",
    "alertmanager": "wget",
    "redis_exporter": "wget",  # in the tags that end in -alpine
    "grafana": "wget",
    "loki": "/usr/bin/loki",  # no shell; -health from 3.7 on
    "alloy": "bash",  # Ubuntu without curl and wget
    "socket-proxy": "/healthcheck",  # from scratch
    "tempo": "/tempo",  # no shell; -health from 3.0 on
}


@pytest.fixture
def env(tmp_path):
    return make_env(tmp_path)


def fill(env, *options):
    script = env.with_name("fill-env.sh")
    subprocess.run([script, *options], check=True, capture_output=True)
    return dotenv_values(env)


def is_private(path):
    return stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_follows_the_compose_specification():
    schema = ["--builtin-schema", "vendor.compose-spec"]
    output(str(BIN / "check-jsonschema"), *schema, str(FOLDER / "compose.yaml"))


def test_podman_compose_reads_every_service(env):
    """With a new .env and every profile; without an .env it says how to make one."""
    need("podman")
    command = [str(BIN / "podman-compose"), "-f", str(FOLDER / "compose.yaml"), "--env-file"]
    profiles = [f"--profile={name}" for name in ("monitoring", "logs", "traces")]
    read = yaml.safe_load(output(*command, str(env), *profiles, "config"))
    assert read["services"].keys() == services().keys()
    command += ["/dev/null", "config"]
    done = run(*command, cwd=ROOT)
    assert done.returncode
    assert "run ./fill-env.sh" in done.stdout + done.stderr


def test_images_are_pinned():
    """To a version, with their registry; ours to the commit, and built by one service alone."""
    product = services()["api"]["image"]
    assert [name for name, service in services().items() if "build" in service] == ["api"]
    assert product.endswith(f":{services()['api']['build']['args']['REVISION']}")
    for name, service in services().items():
        if name in (*PRODUCT, *ONE_SHOT):
            assert service["image"] == product
            continue
        registry, _, tag = service["image"].rpartition(":")
        assert registry.startswith("docker.io/")
        assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z-]+)?", tag)
        assert service["image"] in config()["x-images"].values()


def test_ports_are_published_on_loopback_and_do_not_collide():
    ports = [port for one in services().values() for port in one.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)
    assert not [name for name in PRODUCT if "ports" in services()[name]]


@pytest.mark.parametrize("name", NAMES)
def test_a_container_is_restricted_and_checked(name):
    """No capabilities, bounded resources, and a health check by a program that is in its image."""
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert not {"cap_add", "privileged"} & service.keys()
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory"}
    assert service.get("read_only") or name == "grafana"  # it writes into its own tree at start
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    programs = PROGRAMS[service["image"].rpartition(":")[0].rpartition("/")[2]].split()
    if name not in ONE_SHOT:
        check = service["healthcheck"]
        kind, *words = check["test"]
        assert (words[0] if kind == "CMD" else kind) in programs
        assert check.keys() >= {"interval", "timeout", "retries", "start_period"}
    if "entrypoint" in service:
        assert service["entrypoint"][0] in programs


def test_dependencies_can_be_fulfilled():
    """What is waited for has a health check or exits, and is in the profiles of what waits."""
    for service in services().values():
        for needed, how in service.get("depends_on", {}).items():
            exits = "completed_successfully" if needed in ONE_SHOT else "healthy"
            assert how["condition"] == f"service_{exits}"
            assert set(services()[needed].get("profiles", [])) <= set(service.get("profiles", []))


def test_volumes_are_used_and_mounts_exist():
    used = set()
    for service in services().values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).is_dir()
                assert volume.endswith(":ro")
            elif not source.startswith("/"):
                used.add(source)
    assert used == config()["volumes"].keys()


def test_one_container_has_the_socket_of_docker_and_only_reads():
    """The socket itself would make a reader of logs root on this machine."""
    proxy = services()["socket-proxy"]
    mounting = [one for one in services().values() if "docker.sock" in str(one.get("volumes"))]
    assert mounting == [proxy]
    assert proxy["networks"] == ["socket"]
    assert config()["networks"]["socket"]["internal"] is True
    allowed = [word.partition("=")[::2] for word in proxy["command"] if word.startswith("-allow")]
    kinds = {"-allowfrom", "-allowhealthcheck", "-allowHEAD", "-allowGET"}
    assert {kind for kind, _ in allowed} == kinds
    pattern = "|".join(f"({path})" for kind, path in allowed if kind == "-allowGET")
    container = f"containers/{'0a' * 32}"
    for path in ("/v1.51/containers/json", f"/v1.51/{container}/logs", f"/{container}/json"):
        assert re.fullmatch(pattern, path)
    for path in (f"/v1.51/{container}/archive", "/v1.51/containers/json/../../images/json"):
        assert not re.fullmatch(pattern, path)


def test_passwords_are_the_same_at_both_ends():
    made, api = variables(), docker_compose().api.settings
    database = api.database_url.get_secret_value()
    assert f":{made['POSTGRES_PASSWORD']}@postgres:5432/" in database
    assert f":{made['VALKEY_PASSWORD']}@valkey:6379/" in api.broker_url
    given = {name: services()[name]["environment"] for name in ("postgres", "valkey")}
    assert given["postgres"]["POSTGRES_PASSWORD"] == made["POSTGRES_PASSWORD"]
    assert given["valkey"]["VALKEYCLI_AUTH"] == made["VALKEY_PASSWORD"]
    s3, product = services()["s3"]["environment"], environment("api")
    assert product["AWS_ACCESS_KEY_ID"] == s3["ROOT_ACCESS_KEY"]
    assert product["AWS_SECRET_ACCESS_KEY"] == s3["ROOT_SECRET_KEY"]
    assert product["AWS_REGION"] == s3["VGW_REGION"]


def test_the_broker_loses_no_message():
    """It refuses what exceeds its memory, and writes the rest to a volume."""
    valkey = services()["valkey"]
    options = dict(re.findall(r"--([a-z-]+) (\S+)", " ".join(valkey["command"])))
    wanted = {"appendonly": "yes", "maxmemory-policy": "noeviction", "dir": "/data"}
    assert wanted.items() <= options.items()
    assert "valkey:/data" in valkey["volumes"]
    # A rewrite of the file may need as much memory again.
    assert memory("valkey") >= 2 * int(options["maxmemory"].removesuffix("mb")) * 2**20


def test_results_are_downloaded_by_the_address_that_is_signed():
    """The storage's alias and port inside are those of this machine's loopback."""
    s3, api = services()["s3"], docker_compose().api.settings
    url = environment("api")["AWS_ENDPOINT_URL"].removeprefix("http://")
    host, _, port = url.partition(":")
    assert host in s3["networks"]["default"]["aliases"]
    assert host.endswith(".localhost")
    assert s3["ports"] == [f"127.0.0.1:{port}:{port}"]
    command = " ".join(s3["command"])
    assert f"--port :{port} " in command
    assert f"mkdir -p /data/{api.storage_url.removeprefix('s3://')}" in command
    assert "s3:/data" in s3["volumes"]


def test_the_edge_fits_the_api():
    """It finds it, waits for its end, and does not lead to its metrics."""
    api = docker_compose().api.settings
    assert f"server api:{api.port} " in NGINX
    assert directives("listen", NGINX)[0] == services()["edge"]["ports"][0].rpartition(":")[2]
    assert str(api.metrics_port) not in NGINX
    assert services()["edge"]["stop_grace_period"] == services()["api"]["stop_grace_period"]


def test_secrets_are_random_long_and_private(env):
    """Letters and digits, as they are parts of URLs; other users cannot read them."""
    made = dotenv_values(env)
    for name in REQUIRED - {"REVISION"}:
        assert re.fullmatch(r"[0-9a-f]{20,}", (made[name] or "").rpartition(":")[2]), name
    assert len({made[name] for name in REQUIRED}) == len(REQUIRED)
    assert made["REVISION"]
    assert is_private(env)


def test_fill_env_keeps_what_is_set(env):
    """And changes no more than it is asked to; a secret that is new is added."""
    env.write_text(env.read_text().replace("PORT=8000", "PORT=8080", 1))
    before = env.read_text()
    fill(env)
    assert env.read_text() == before
    env.write_text(re.sub("REVISION=.*", "REVISION=of-yesterday", before))
    after = fill(env, "--revision")
    assert after["REVISION"] != "of-yesterday"
    assert after | {"REVISION": ""} == dotenv_values(stream=io.StringIO(before)) | {"REVISION": ""}
    assert is_private(env)
    lines = [line for line in env.read_text().splitlines() if "ADMIN_TOKEN" not in line]
    env.write_text("\n".join(lines) + "\n")
    settings = env.with_name("settings.env")
    settings.write_text("LOG_LEVEL=DEBUG\n")
    settings.chmod(0o644)
    assert fill(env)["ADMIN_TOKEN"]
    assert settings.read_text() == "LOG_LEVEL=DEBUG\n"
    assert is_private(settings)


def test_the_example_has_every_variable_with_its_default():
    example = dotenv_values(FOLDER / ".env.example")
    used = dict(re.findall(r"\$\{(\w+)(?::[-?]([^}]*))?\}", TEXT.replace("$$", "")))
    assert example.keys() - {"COMPOSE_PROFILES"} == used.keys()
    for name, default in used.items():
        assert example[name] == ("" if name in REQUIRED else default), name


def test_no_secret_is_in_the_tree():
    """A container's passwords and tokens come from .env, which git ignores."""
    for name, service in yaml.safe_load(TEXT)["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|_KEY$|ACCESS_KEY|AUTH$|ALERT_", variable):
                assert re.fullmatch(r"\$\{\w+:[-?].*\}", str(value)), (name, variable)
    ignored = (FOLDER / ".gitignore").read_text().split()
    assert {".env", "settings.env", "backups/"} <= set(ignored)
    tracked = output("git", "ls-files", "deploy/compose").split()
    assert not [name for name in tracked if name.endswith((".env", ".env.new"))]
