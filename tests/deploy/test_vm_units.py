"""The units of deploy/vm: systemd's own checks, their sandbox, and their numbers."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy import vm_files
from tests.deploy.command import run
from tests.deploy.environment import settings_of
from tests.deploy.targets import virtual_machine
from tests.deploy.vm_files import INSTANCES, NGINX, UNITS, directives, unit, variables
from tests.ops.tools import ROOT, need

API, WORKER = "vitrine-api@.service", "vitrine-worker.service"
SERVICES = (API, WORKER)
API_SETTINGS = {port: settings_of(variables(API, port)) for port in INSTANCES}
MAX_EXPOSURE = 15  # tenths; Debian's own services are at 60 to 96
DATABASE_WAIT_SECONDS = 60  # the setting's default


@pytest.fixture
def installed(tmp_path) -> Path:
    (tmp_path / "current").symlink_to(ROOT)
    for source in UNITS.iterdir():
        text = source.read_text().replace("/opt/vitrine", str(tmp_path))
        (tmp_path / source.name).write_text(text)
    return tmp_path


def systemd_analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [need("systemd-analyze"), "--no-pager", *words]
    return run(*command, cwd=folder)


def test_systemd_accepts_the_units_and_finds_a_mistyped_key(installed):
    names = [f"./{API.replace('@', '@' + port)}" for port in INSTANCES]
    names += [f"./{name}" for name in (WORKER, "vitrine.target", "vitrine.slice")]
    done = systemd_analyze(installed, "verify", *names)
    assert (done.returncode, done.stderr) == (0, "")
    path = installed / WORKER
    path.write_text(path.read_text().replace("KillMode=", "KilMode="))
    assert "KilMode" in systemd_analyze(installed, "verify", f"./{WORKER}").stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_sandboxed(installed, name):
    """Below a threshold of systemd's own score, so that a lost line is noticed."""
    threshold = f"--threshold={MAX_EXPOSURE}"
    done = systemd_analyze(installed, "security", "--offline=true", threshold, f"./{name}")
    assert done.returncode == 0, done.stdout
    service = unit(name)["Service"]
    assert service["MemoryDenyWriteExecute"] == ["no"]  # kernels are compiled at run time
    assert "ProcSubset" not in service  # the machine's size is read from /proc
    assert "/dev/shm" not in str(service.get("InaccessiblePaths"))


def test_every_instance_has_its_own_ports_on_loopback():
    """Nginx knows them by the unit's name; the optional file proxies their metrics."""
    proxied = directives("proxy_pass", (NGINX / "metrics.conf").read_text())
    metrics = [virtual_machine().worker.settings.worker_metrics_port]
    for port, settings in API_SETTINGS.items():
        assert (settings.host, settings.port) == ("127.0.0.1", int(port))
        assert settings.metrics_port == int(f"1{port}")
        assert settings.forwarded_allow_ips == "127.0.0.1"
        metrics.append(settings.metrics_port)
    assert len(set(metrics)) == len(INSTANCES) + 1
    assert not set(metrics) & set(map(int, INSTANCES))
    for port in metrics:
        assert any(f"127.0.0.1:{port}/metrics" in target for target in proxied)


def test_every_process_has_its_own_metrics_folder():
    """In the unit's runtime directory; a shared one would add numbers up."""
    worker = virtual_machine().worker.settings
    folders = [one.prometheus_multiproc_dir for one in (*API_SETTINGS.values(), worker)]
    assert len(set(folders)) == len(INSTANCES) + 1
    runtime = unit(API)["Service"]["RuntimeDirectory"][0].split()[0]
    made = [runtime.replace("%i", port) for port in INSTANCES]
    made += unit(WORKER)["Service"]["RuntimeDirectory"]
    assert [str(folder) for folder in folders] == [f"/run/{name}" for name in made]


def test_files_are_written_where_the_units_may_write():
    settings, service = virtual_machine().api.settings, unit(API)["Service"]
    assert settings.storage_url.startswith(f"file:/var/lib/{service['StateDirectory'][0]}/")
    assert settings.cache_dir == Path(f"/var/cache/{service['CacheDirectory'][0]}")
    assert settings.log_file.parent == Path(f"/var/log/{service['LogsDirectory'][0]}")


@pytest.mark.parametrize("name", SERVICES)
def test_starts_and_restarts_have_limits(name):
    """wait_ready.py ends before systemd does, and quick failures end the restarts."""
    service, limits = unit(name)["Service"], unit(name)["Unit"]
    target = virtual_machine()
    process = target.api if name == API else target.worker
    wait = service["ExecStartPost"][0].replace("%i", INSTANCES[0])
    assert process.start_seconds < int(service["TimeoutStartSec"][0])
    settings = process.settings
    listens = settings.port if name == API else settings.worker_metrics_port
    assert f":{listens}/" in wait
    assert service["KillMode"] == ["mixed"]
    assert service["Restart"] == ["always"]
    interval, burst = (int(limits[f"StartLimit{key}"][0]) for key in ("IntervalSec", "Burst"))
    # One that waits for its database fails slowly, and is started again for ever.
    assert burst * int(service["RestartSec"][0]) < interval < burst * DATABASE_WAIT_SECONDS


def test_nginx_sends_requests_to_an_instance_while_it_is_ready():
    """Its file is made after the wait, removed before SIGTERM, and goes with the instance."""
    service = unit(API)["Service"]
    path = service["ExecStartPost"][1].split()[-1]
    (removing,) = service["ExecStop"]
    assert removing.split()[-1] == path
    folders = [f"/run/{name}" for name in service["RuntimeDirectory"][0].split()]
    assert str(Path(path).parent) in folders
    assert service["RuntimeDirectoryMode"] == ["0755"]  # nginx looks for it
    conf = (NGINX / "vitrine.conf").read_text()
    assert re.findall(r"!-f ([^)]+)\)", conf) == [path.replace("%i", port) for port in INSTANCES]
    assert all(f"vitrine_without_{port};" in conf for port in INSTANCES)


def test_nginx_drops_idle_connections_before_an_instance_stops():
    target = virtual_machine()
    assert target.proxy.idle_seconds < target.api.settings.shutdown_delay_seconds
    body = vm_files.seconds(vm_files.directive("client_body_timeout"))
    assert body == target.api.settings.body_timeout_seconds
