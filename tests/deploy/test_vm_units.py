"""The units of deploy/vm, by systemd's own checks, and their numbers against the settings."""

import re
import subprocess
from pathlib import Path

import pytest

from project.jobs.supervisor import FLUSH_SECONDS
from tests.deploy.environment import settings_of
from tests.deploy.vm_files import NGINX, UNITS, VM, directives, seconds, size, unit, variables
from tests.ops.tools import ROOT, need

API, WORKER = "vitrine-api@.service", "vitrine-worker.service"
SERVICES = (API, WORKER)
SERVERS = "".join(directives("server", "upstream.conf"))
INSTANCES = sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", SERVERS)))
MAX_EXPOSURE = 15  # tenths; Debian's own services are at 60 to 96


@pytest.fixture
def installed(tmp_path) -> Path:
    """The units with the programs that they start, at paths that exist here."""
    (tmp_path / "current").symlink_to(ROOT)
    for source in UNITS.iterdir():
        text = source.read_text().replace("/opt/vitrine", str(tmp_path))
        (tmp_path / source.name).write_text(text)
    return tmp_path


def systemd_analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [need("systemd-analyze"), "--no-pager", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_systemd_finds_nothing_to_complain_of(installed):
    """Neither in what it reads nor in the paths that it would start."""
    names = [f"./{API.replace('@', '@' + port)}" for port in INSTANCES]
    names += [f"./{name}" for name in (WORKER, "vitrine.target", "vitrine.slice")]
    done = systemd_analyze(installed, "verify", *names)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistyped_key_would_be_found(installed):
    """The check above can fail."""
    path = installed / WORKER
    path.write_text(path.read_text().replace("KillMode=", "KilMode="))
    assert "KilMode" in systemd_analyze(installed, "verify", f"./{WORKER}").stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_little_but_its_work(installed, name):
    """Held to a threshold, so that a line that is lost is noticed."""
    threshold = f"--threshold={MAX_EXPOSURE}"
    done = systemd_analyze(installed, "security", "--offline=true", threshold, f"./{name}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_process_needs_is_left_to_it(name):
    """Memory that is written and executed, for kernels compiled at run time; /proc's numbers."""
    service = unit(name)["Service"]
    assert service["MemoryDenyWriteExecute"] == ["no"]
    assert "ProcSubset" not in service
    assert "/dev/shm" not in str(service.get("InaccessiblePaths"))


def test_both_services_are_sandboxed_alike():
    """What one line says of one of them it says of the other."""
    keys = {"CapabilityBoundingSet", "SystemCallFilter", "User", "UMask", "StateDirectory", "Slice"}
    api, worker = (unit(name)["Service"] for name in SERVICES)
    shared = keys | {key for key in api if key.startswith(("Protect", "Private", "Restrict"))}
    assert {key: api[key] for key in shared} == {key: worker[key] for key in shared}


@pytest.mark.parametrize("port", INSTANCES)
def test_each_instance_has_ports_of_its_own(port):
    """Its name is the port that nginx knows; its metrics are elsewhere, and on loopback."""
    settings = settings_of(variables(API, port))
    assert settings.environment == "production"
    assert settings.host == "127.0.0.1"
    assert settings.port == int(port)
    assert settings.metrics_port == int(f"1{port}")
    assert settings.metrics_port not in {int(other) for other in INSTANCES}


def test_no_two_processes_share_a_folder_of_metrics():
    """Their numbers would be added up, or torn out."""
    folders = [settings_of(variables(API, port)).prometheus_multiproc_dir for port in INSTANCES]
    folders.append(settings_of(variables(WORKER)).prometheus_multiproc_dir)
    assert len(set(folders)) == len(INSTANCES) + 1
    made = [
        unit(API)["Service"]["RuntimeDirectory"][0].split()[0].replace("%i", port)
        for port in INSTANCES
    ]
    made += unit(WORKER)["Service"]["RuntimeDirectory"]
    assert [str(folder) for folder in folders] == [f"/run/{name}" for name in made]


def test_what_is_written_is_where_the_service_may_write():
    """ProtectSystem=strict leaves the units' own directories alone."""
    settings = settings_of(variables(API, INSTANCES[0]))
    service = unit(API)["Service"]
    assert settings.storage_url.startswith(f"file:/var/lib/{service['StateDirectory'][0]}/")
    assert settings.cache_dir == Path(f"/var/cache/{service['CacheDirectory'][0]}")
    assert settings.log_file.parent == Path(f"/var/log/{service['LogsDirectory'][0]}")


def test_a_stop_leaves_time_to_finish():
    """The group is killed only when the program would have ended by itself."""
    api = settings_of(variables(API, INSTANCES[0]))
    assert int(unit(API)["Service"]["TimeoutStopSec"][0]) >= api.graceful_timeout_seconds + 5
    worker = settings_of(variables(WORKER))
    needed = worker.worker_shutdown_seconds + FLUSH_SECONDS
    assert int(unit(WORKER)["Service"]["TimeoutStopSec"][0]) > needed


@pytest.mark.parametrize("name", SERVICES)
def test_a_start_is_awaited_but_not_for_ever(name):
    """The wait has its own end, before systemd's, and so says why."""
    service = unit(name)["Service"]
    wait = service["ExecStartPost"][0]
    awaited = int(wait.rsplit("--seconds ", 1)[1])
    assert 120 <= awaited < int(service["TimeoutStartSec"][0])
    assert service["KillMode"] == ["mixed"]
    assert service["Restart"] == ["always"]
    port = INSTANCES[0] if name == API else ""
    settings = settings_of(variables(name, port))
    listens = settings.port if name == API else settings.worker_metrics_port
    assert f":{listens}/" in wait.replace("%i", port)


def test_nginx_knows_of_an_instance_while_it_is_ready_and_no_longer():
    """The file is made after the wait, removed before SIGTERM, and goes with the instance."""
    service = unit(API)["Service"]
    _, made = service["ExecStartPost"]
    (removed,) = service["ExecStop"]
    path = made.split()[-1]
    assert removed.split()[-1] == path
    folders = [f"/run/{name}" for name in service["RuntimeDirectory"][0].split()]
    assert str(Path(path).parent) in folders
    assert service["RuntimeDirectoryMode"] == ["0755"]  # nginx looks
    looked_at = re.findall(r"!-f ([^)]+)\)", (NGINX / "vitrine.conf").read_text())
    assert looked_at == [path.replace("%i", port) for port in INSTANCES]
    for port in INSTANCES:
        assert f"vitrine_without_{port};" in (NGINX / "vitrine.conf").read_text()


def test_a_quick_failure_ends_the_tries_and_a_slow_one_does_not():
    """An instance that waits for its database a minute long is started again for ever."""
    for name in SERVICES:
        given = unit(name)["Unit"]
        interval, burst = (int(given[f"StartLimit{key}"][0]) for key in ("IntervalSec", "Burst"))
        database_wait = 60  # DATABASE_WAIT_SECONDS' default
        assert interval < burst * database_wait
        assert interval > burst * int(unit(name)["Service"]["RestartSec"][0])


def test_nginx_and_the_settings_fit_together():
    """Which of two ends a connection, or gives up, first is no accident."""
    settings = settings_of(variables(API, INSTANCES[0]))
    for kept in directives("keepalive_timeout", "upstream.conf"):
        assert seconds(kept) < settings.shutdown_delay_seconds
        assert seconds(kept) < settings.keepalive_seconds
    (body,) = directives("client_max_body_size")
    assert size(body) > settings.max_body_bytes
    for value in directives("proxy_read_timeout"):
        assert seconds(value) > settings.prediction_deadline_seconds + settings.queue_seconds
    assert seconds(directives("client_body_timeout")[0]) == settings.body_timeout_seconds
    assert settings.forwarded_allow_ips == "127.0.0.1"


def test_metrics_for_another_machine_come_from_the_ports_that_are_used():
    """The optional file of nginx names the instances and the workers as the units do."""
    proxied = " ".join(directives("proxy_pass", "metrics.conf"))
    ports = [settings_of(variables(API, port)).metrics_port for port in INSTANCES]
    for port in [*ports, settings_of(variables(WORKER)).worker_metrics_port]:
        assert f"127.0.0.1:{port}/metrics" in proxied


def test_the_secrets_stand_in_their_own_file():
    """The other one is readable for the service's group, and may be shown around."""
    names = set(re.findall(r"^#?([A-Z_]+)=", (VM / "etc/secrets.env").read_text(), re.MULTILINE))
    assert {"DATABASE_URL", "REDIS_URL", "ADMIN_TOKEN", "STORAGE_SECRET", "SENTRY_DSN"} <= names
    assert not names & set(re.findall(r"[A-Z_]+(?==)", (VM / "etc/vitrine.env").read_text()))
