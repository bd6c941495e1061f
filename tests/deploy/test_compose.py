"""compose.yaml is valid, pinned, closed to the network, and holds no secret."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.compose import FOLDER, OURS, config, make_env, services
from tests.ops.tools import ROOT, need, output

BIN = Path(sys.executable).parent
OPTIONAL = {"monitoring", "logs", "traces"}
ONCE = {"receivers"}  # does its work and ends
# What a health check or an entry point may use: the programs that each image's Dockerfile puts in.
HOLDS = {
    "vitrine": {"python"},
    "nginx": {"wget", "/bin/sh"},  # busybox
    "postgres": {"pg_isready"},
    "valkey": {"CMD-SHELL", "/bin/sh"},  # Debian, with valkey-cli
    "versitygw": {"wget", "/bin/sh"},  # busybox
    "prometheus": {"wget"},  # busybox
    "alertmanager": {"wget"},
    "redis_exporter": {"wget"},  # the tags that end in -alpine; the others hold nothing but itself
    "grafana": {"wget"},  # busybox
    "loki": {"/usr/bin/loki"},  # nothing else: no shell; -health from 3.7 on
    "alloy": {"bash"},  # Ubuntu without curl and wget
    "socket-proxy": {"/healthcheck"},  # from scratch
    "tempo": {"/tempo"},  # no shell; -health from 3.0 on
}


def image(name):
    """The last part of an image's name, without its tag."""
    return services()[name]["image"].rpartition(":")[0].rpartition("/")[2]


def test_one_service_builds_the_image_that_several_run():
    """Builds of one tag at a time fail where images are kept by containerd."""
    building = [name for name, service in services().items() if "build" in service]
    assert building == ["api"]
    running = {one["image"] for name, one in services().items() if name in (*OURS, *ONCE)}
    assert running == {services()["api"]["image"]}
    arguments = services()["api"]["build"]["args"]
    assert services()["api"]["image"].endswith(f":{arguments['REVISION']}")


def test_it_is_a_compose_file():
    """By the schema of the specification."""
    schema = ["--builtin-schema", "vendor.compose-spec"]
    output(str(BIN / "check-jsonschema"), *schema, str(FOLDER / "compose.yaml"))


def test_podman_compose_reads_it_with_a_new_env(tmp_path):
    """And with every profile each container is there."""
    need("podman")
    profiles = [word for name in sorted(OPTIONAL) for word in ("--profile", name)]
    command = [str(BIN / "podman-compose"), "--env-file", str(make_env(tmp_path))]
    command += ["-f", str(FOLDER / "compose.yaml"), *profiles, "config"]
    read = yaml.safe_load(output(*command))
    assert read["services"].keys() == services().keys()


def test_without_an_env_it_says_what_to_do():
    """No password has a default that somebody could forget to change."""
    command = [str(BIN / "podman-compose"), "--env-file", "/dev/null"]
    command += ["-f", str(FOLDER / "compose.yaml"), "config"]
    need("podman")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode
    assert "run ./fill-env.sh" in done.stdout + done.stderr


@pytest.mark.parametrize("name", services())
def test_every_image_is_pinned(name):
    """To a whole version, with its registry; ours to the commit."""
    if name in (*OURS, *ONCE):
        assert services()[name]["image"].startswith("vitrine:")
        return
    registry, _, tag = services()[name]["image"].rpartition(":")
    assert registry.startswith("docker.io/")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z-]+)?", tag)
    assert services()[name]["image"] in config()["x-images"].values()


@pytest.mark.parametrize("name", services())
def test_nothing_is_published_beyond_this_machine(name):
    """Neither Prometheus nor the database asks who is there."""
    for port in services()[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_ports_do_not_collide():
    """Each has a number of its own on the machine."""
    ports = [port.split(":")[1] for one in services().values() for port in one.get("ports", [])]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize("name", services())
def test_a_container_has_no_more_than_it_needs(name):
    """No capability, no way to gain one, bounded memory, processors and logs."""
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory"}
    assert service.get("read_only") or name == "grafana"  # writes into its own tree at start
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")


@pytest.mark.parametrize("name", sorted(services().keys() - ONCE))
def test_a_health_check_can_pass(name):
    """It uses a program that is in the image, and leaves the start enough time."""
    check = services()[name]["healthcheck"]
    kind, *words = check["test"]
    assert (words[0] if kind == "CMD" else kind) in HOLDS[image(name)]
    assert check.keys() >= {"interval", "timeout", "retries", "start_period"}
    entry = services()[name].get("entrypoint")
    assert not entry or entry[0] in HOLDS[image(name)]


@pytest.mark.parametrize("name", services())
def test_what_is_waited_for_is_there(name):
    """It has a health check or ends by itself, and starts wherever the one that waits starts."""
    for needed, how in services()[name].get("depends_on", {}).items():
        other = services()[needed]
        ends = needed in ONCE
        expected = "service_completed_successfully" if ends else "service_healthy"
        assert how["condition"] == expected
        assert set(other.get("profiles", [])) <= set(services()[name].get("profiles", []))


def test_without_a_profile_the_product_and_what_it_needs_run():
    """Each other container is in one of three profiles."""
    plain = {name for name, service in services().items() if "profiles" not in service}
    assert plain == {*OURS, "edge", "postgres", "valkey", "s3"}
    named = {profile for one in services().values() for profile in one.get("profiles", [])}
    assert named == OPTIONAL


def test_every_volume_is_used_and_every_mount_exists():
    """A file that is not there would be made as a folder by Docker."""
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


def test_dockers_socket_is_for_one_container_that_only_reads():
    """With the socket itself a reader of logs would be root on this machine."""
    having = [
        name
        for name, service in services().items()
        if any("docker.sock" in volume for volume in service.get("volumes", []))
    ]
    assert having == ["socket-proxy"]
    proxy = services()["socket-proxy"]
    allowed = [word for word in proxy["command"] if word.startswith("-allow")]
    assert {word.partition("=")[0] for word in allowed} == {
        "-allowfrom",
        "-allowhealthcheck",
        "-allowHEAD",
        "-allowGET",
    }
    assert proxy["networks"] == ["socket"]
    assert config()["networks"]["socket"]["internal"] is True
    patterns = [word.removeprefix("-allowGET=") for word in allowed if "GET=" in word]

    def passes(path):
        return any(re.fullmatch(pattern, path) for pattern in patterns)

    assert passes("/v1.51/containers/json")
    assert passes(f"/v1.51/containers/{'0a' * 32}/logs")
    assert passes(f"/containers/{'0a' * 32}/json")
    assert not passes(f"/v1.51/containers/{'0a' * 32}/archive")
    assert not passes("/v1.51/containers/json/../../images/json")
