"""monitoring.sh of deploy/vm: from which release it works, and what it keeps for the next time."""

import pytest

from tests.deploy.vm_host import Host

PACKAGES = ("prometheus", "alertmanager", "node-exporter", "redis-exporter")
# Says which program the words after -- would be, with the PATH that systemd is given.
SYSTEMD_RUN = """
for word in "$@"; do
  case "$word" in --setenv=PATH=*) path="${word#--setenv=PATH=}" ;; esac
done
while [ "$1" != -- ]; do shift; done
echo "runs $(PATH="$path" command -v "$3") $(realpath "$4")" >>"$CALLS"
"""


@pytest.fixture
def host(tmp_path) -> Host:
    """Installed, with the folder that Prometheus' package makes."""
    found = Host(tmp_path)
    done = found.run("install.sh", "cats.example.org")
    assert done.returncode == 0, done.stderr
    (found.root / "etc/prometheus").mkdir()
    for name in ("prometheus", "alertmanager"):
        (found.root / "etc/prometheus" / f"{name}.yml").write_text("")
    found.fake("promtool", "")
    found.fake("amtool", "")
    found.calls()
    return found


def monitor(host: Host, **more: str) -> None:
    """Run it once."""
    done = host.run("monitoring.sh", CANDIDATE="2.42.0", **more)
    assert done.returncode == 0, done.stderr


def test_the_monitoring_is_on_loopback_before_it_starts(host):
    """Debian's packages start their programs as they are installed, on every address."""
    host.fake("apt-get", 'grep -l 127.0.0.1 "$ROOT"/etc/default/prometheus* >>"$CALLS"\n')
    monitor(host)
    made = "\n".join(host.calls("apt-get", "systemctl", "systemd-run", str(host.root)))
    assert "--uid=root" in made
    assert "monitoring.py /etc/prometheus 8001 8002 --broker" in made
    for name in PACKAGES:
        default = name if name == "prometheus" else f"prometheus-{name}"
        assert "=127.0.0.1:" in (host.root / "etc/default" / default).read_text()
        assert default in made


def test_it_runs_what_was_released_wherever_it_lies_itself(host):
    """A checkout has no .venv; the release that serves has."""
    assert not (host.source / ".venv").exists()
    host.fake("systemd-run", SYSTEMD_RUN)
    monitor(host)
    release = host.root / "opt/vitrine/releases" / host.link("current")
    (ran,) = host.calls("runs")
    assert ran.split()[1:] == [
        str(release / ".venv/bin/python"),
        str(release / "deploy/vm/monitoring.py"),
    ]


def test_before_the_first_release_it_says_what_is_missing(host):
    """Nothing is installed then."""
    (host.root / "opt/vitrine/current").unlink()
    done = host.run("monitoring.sh", CANDIDATE="2.42.0")
    assert done.returncode == 1
    assert "release.sh" in done.stderr
    assert host.calls("apt-get") == []


def test_where_the_links_of_alerts_lead_is_kept(host):
    """The next run is for another receiver, and has other things in mind."""
    grafana, runbooks = "https://grafana.example.com/x?a=1", "https://example.com/runbooks"
    monitor(host, GRAFANA_URL=grafana, RUNBOOKS_URL=runbooks)
    host.calls()
    monitor(host)
    (ran,) = host.calls("systemd-run")
    assert ran.endswith(f"--grafana {grafana} --runbooks {runbooks}")
    monitor(host, GRAFANA_URL="", RUNBOOKS_URL="https://example.com/others")
    (ran,) = host.calls("systemd-run")
    assert "--grafana" not in ran
    assert ran.endswith("--runbooks https://example.com/others")
