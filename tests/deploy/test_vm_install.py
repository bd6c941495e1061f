"""install.sh and monitoring.sh of deploy/vm, in a folder that replaces the machine's root."""

import re
import stat
from pathlib import Path

import pytest

from tests.deploy.environment import settings_of
from tests.deploy.vm_files import INSTANCES, directives
from tests.deploy.vm_host import Host

NAME = "cats.example.org"
MONITORING = ("prometheus", "alertmanager", "node-exporter", "redis-exporter")
# Records which program systemd would run after --, with the PATH that it is given.
SYSTEMD_RUN = """
for word in "$@"; do
  case "$word" in --setenv=PATH=*) path="${word#--setenv=PATH=}" ;; esac
done
while [ "$1" != -- ]; do shift; done
echo "runs $(PATH="$path" command -v "$3") $(realpath "$4")" >>"$CALLS"
"""


@pytest.fixture
def host(tmp_path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def monitored(host) -> Host:
    install(host)
    folder = host.root / "etc/prometheus"
    folder.mkdir()
    for name in ("prometheus", "alertmanager"):
        (folder / f"{name}.yml").write_text("")
    for program in ("promtool", "amtool"):
        host.fake(program, "")
    host.calls()
    return host


def install(host: Host, *words: str, **variables: str) -> str:
    done = host.run("install.sh", NAME, *words, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refuse(host: Host, *words: str, **variables: str) -> str:
    """Run install.sh, which has to refuse before it installs a broker; returns its complaint."""
    done = host.run("install.sh", *words, **variables)
    assert done.returncode != 0
    assert not any("valkey" in call or "redis" in call for call in host.calls("apt-get"))
    return done.stderr


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and "releases" not in path.parts
    }


def variables_of(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_a_machine_is_set_up(host):
    """Packages, user, database, broker, units and nginx, then the first release; with secrets."""
    host.fake("nproc", "echo 8\n")
    assert f"https://{NAME}" in install(host)
    calls = "\n".join(host.calls("apt-get", "useradd", "runuser", "systemctl", "systemd-run"))
    for part in ("nginx", "postgresql", "valkey-server", "CREATE ROLE vitrine", "CREATE DATABASE"):
        assert part in calls
    instances = " ".join(f"vitrine-api@{port}" for port in INSTANCES)
    assert f"enable --quiet vitrine.target {instances}" in calls
    assert "prepare_database" in calls
    assert calls.rstrip().endswith("systemctl start vitrine.target")
    etc = host.root / "etc"
    assert f"server_name {NAME};" in (etc / "nginx/conf.d/vitrine.conf").read_text()
    assert not (etc / "nginx/sites-enabled/default").exists()
    for name in ("proxy.conf", "problems.conf", "upstream.conf"):
        assert (etc / "nginx/vitrine" / name).exists()
    for name in ("vitrine-api@.service", "vitrine-worker.service", "vitrine.target"):
        assert (etc / "systemd/system" / name).exists()
    for name in ("secrets.env", "tls/privkey.pem"):
        assert stat.S_IMODE((etc / "vitrine" / name).stat().st_mode) == 0o600
    secrets = variables_of(etc / "vitrine/secrets.env")
    settings = settings_of(secrets | {"ENVIRONMENT": "production", "METRICS_PORT": "18001"})
    assert len(settings.admin_token.get_secret_value()) >= 32
    assert settings.admin_token != settings.storage_secret
    assert len(settings.admin_password.get_secret_value()) >= 32
    ((key_id, key),) = settings.token_secrets
    assert re.fullmatch(r"\d{4}-\d\d", key_id)
    assert len(key) == 64
    sizes = variables_of(etc / "vitrine/vitrine.env")  # one worker for two processors
    assert sizes["WEB_CONCURRENCY"] == "2"
    assert 1 <= int(sizes["WORKER_PROCESSES"]) <= 4


def test_a_second_run_changes_nothing_but_shipped_files(host):
    """What was edited stays, and so do the machine's own rules for nginx and disabled units."""
    install(host)
    for name in ("vitrine/vitrine.env", "vitrine/secrets.env"):
        with (host.root / "etc" / name).open("a") as file:
            file.write("# mine\n")
    conf = (host.root / "etc/nginx/conf.d/vitrine.conf").read_text()
    (included,) = (path for path in directives("include", conf) if "/etc/vitrine/" in path)
    (host.root / included.lstrip("/").replace("*", "callers")).write_text("deny all;\n")
    before = contents(host.root)
    units = host.root / "etc/systemd/system"
    (units / "vitrine.slice").write_text("old")
    (units / "vitrine-worker.service").unlink()
    host.calls()
    install(host)
    assert contents(host.root) == before
    enabled = [call for call in host.calls("systemctl") if " enable " in call]
    assert [call for call in enabled if "vitrine" in call or "nginx" in call] == [
        "systemctl enable --quiet vitrine-worker"
    ]


def test_options_of_the_first_run_apply_to_the_next(host):
    """No database is installed beside another one, and PyTorch comes from the same index."""
    index = "https://example.com/whl/cpu"
    stdout = install(host, "--no-database", "--no-broker", TORCH_INDEX=index)
    assert "release.sh deploy" in stdout  # which needs the database's address first
    assert not (host.root / "opt/vitrine/current").is_symlink()
    assert host.deploy().returncode == 0
    (built,) = host.calls("make")
    assert built.endswith(f"TORCH_INDEX={index}")
    host.commit("second")
    install(host)
    calls = host.calls("apt-get", "runuser", "make")
    assert not any("postgresql" in call or "valkey" in call or "psql" in call for call in calls)
    assert calls[-1].endswith(f"TORCH_INDEX={index}")
    host.commit("third")
    install(host, TORCH_INDEX="")
    assert "TORCH_INDEX" not in host.calls("make")[-1]


@pytest.mark.parametrize("answer", ["# Keyspace\ndb3:keys=7,expires=0", "NOAUTH Authentication"])
def test_a_broker_with_foreign_data_is_not_changed(host, answer):
    host.fake("redis-cli", f'echo "{answer}"\n')
    assert "--no-broker" in refuse(host, NAME)


def test_an_empty_broker_and_one_with_our_data_are_accepted(host):
    for answer in ("# Keyspace", "db0:keys=7,expires=0"):
        host.fake("valkey-cli", f'echo "{answer}"\n')
        install(host)


def test_another_system_and_an_old_broker_are_refused(host, tmp_path):
    (tmp_path / "other").mkdir()
    assert "Debian 12" in refuse(Host(tmp_path / "other", "fedora 43"), NAME)
    host.fake("dpkg", "exit 1\n")  # to `dpkg --compare-versions … ge 7`
    assert "--no-broker" in refuse(host, NAME, CANDIDATE="5:6.0.16-1")


@pytest.mark.parametrize("words", [(), ("a b",), ("--what", NAME), (NAME, "another")])
def test_wrong_arguments_show_the_usage(host, words):
    before = contents(host.root)
    assert "--no-database" in refuse(host, *words)
    assert contents(host.root) == before


def monitor(host: Host, **variables: str) -> None:
    done = host.run("monitoring.sh", CANDIDATE="2.42.0", **variables)
    assert done.returncode == 0, done.stderr


def test_monitoring_is_bound_to_loopback_before_it_starts(monitored):
    """Debian's packages start their programs when they are installed, on every address."""
    monitored.fake("apt-get", 'grep -l 127.0.0.1 "$ROOT"/etc/default/prometheus* >>"$CALLS"\n')
    monitor(monitored)
    root = str(monitored.root)
    calls = "\n".join(monitored.calls("apt-get", "systemctl", "systemd-run", root))
    assert "--uid=root" in calls
    assert f"monitoring.py /etc/prometheus {' '.join(INSTANCES)} --broker" in calls
    for name in MONITORING:
        default = name if name == "prometheus" else f"prometheus-{name}"
        assert "=127.0.0.1:" in (monitored.root / "etc/default" / default).read_text()
        assert default in calls


def test_monitoring_runs_the_released_code_and_keeps_the_links_of_alerts(monitored):
    assert not (monitored.source / ".venv").exists()
    monitored.fake("systemd-run", SYSTEMD_RUN)
    monitor(monitored)
    release = monitored.root / "opt/vitrine/releases" / monitored.link("current")
    (ran,) = monitored.calls("runs")
    assert ran.split()[1:] == [
        str(release / ".venv/bin/python"),
        str(release / "deploy/vm/monitoring.py"),
    ]
    monitored.fake("systemd-run", "")
    grafana, runbooks = "https://grafana.example.com/x?a=1", "https://example.com/runbooks"
    monitor(monitored, GRAFANA_URL=grafana, RUNBOOKS_URL=runbooks)
    monitored.calls()
    monitor(monitored)
    (ran,) = monitored.calls("systemd-run")
    assert ran.endswith(f"--grafana {grafana} --runbooks {runbooks}")
    monitor(monitored, GRAFANA_URL="", RUNBOOKS_URL="https://example.com/others")
    (ran,) = monitored.calls("systemd-run")
    assert "--grafana" not in ran
    assert ran.endswith("--runbooks https://example.com/others")
    (monitored.root / "opt/vitrine/current").unlink()
    monitored.calls()
    done = monitored.run("monitoring.sh", CANDIDATE="2.42.0")
    assert done.returncode == 1
    assert "release.sh" in done.stderr
    assert monitored.calls("apt-get") == []
