"""What is installed and finds its port free runs; the API runs in any case."""

import socket

import pytest

from drills.server import free_port
from project.local_stack.programs import plan
from tests.commands import ROOT, command
from tests.conftest import make_settings

LACKING = "not installed: `make tools` installs it"


@pytest.fixture
def ports():
    """Three ports that are free."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    numbers = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    names = ("prometheus_port", "alertmanager_port", "valkey_exporter_port")
    return dict(zip(names, numbers, strict=True))


def installed(*names: str):
    """What finds these programs and no others."""
    return lambda name: f"/opt/{name}" if name in names else None


ALL = installed("prometheus", "prometheus-alertmanager", "redis_exporter")


def test_what_is_installed_runs_and_is_named_with_its_address(ports):
    """Under whichever name its packager gave it."""
    chosen = plan(make_settings(jobs=True, **ports), ALL)
    assert {name: words[0] for name, words in chosen.commands.items()} == {
        "prometheus": "/opt/prometheus",
        "alertmanager": "/opt/prometheus-alertmanager",
        "valkey": "/opt/redis_exporter",
    }
    assert chosen.urls["Prometheus"] == f"http://localhost:{ports['prometheus_port']}"
    assert chosen.skipped == {}


def test_all_of_it_listens_on_this_machine_alone(ports):
    """Prometheus and Alertmanager ask nobody who they are."""
    chosen = plan(make_settings(jobs=True, **ports, host="0.0.0.0"), ALL)
    for name, words in chosen.commands.items():
        (listening,) = [word for word in words if word.startswith("--web.listen-address")]
        assert listening.startswith("--web.listen-address=127.0.0.1:"), name
    assert "--cluster.listen-address=" in chosen.commands["alertmanager"]


def test_what_prometheus_keeps_is_bounded(ports):
    """By the time that the objectives look back, and by what a disk can spare."""
    words = plan(make_settings(**ports), ALL).commands["prometheus"]
    assert "--storage.tsdb.retention.time=31d" in words
    assert "--storage.tsdb.retention.size=1GB" in words


def test_without_prometheus_nothing_of_it_runs(ports):
    """The others would have nobody to serve."""
    chosen = plan(make_settings(**ports), installed("alertmanager", "redis_exporter"))
    assert chosen.commands == {}
    assert chosen.skipped == {"Prometheus": LACKING}


def test_without_alertmanager_prometheus_runs(ports):
    """Its own page shows alerts too."""
    chosen = plan(make_settings(**ports), installed("prometheus"))
    assert set(chosen.commands) == {"prometheus"}
    assert chosen.skipped == {"Alertmanager": LACKING}


def test_a_taken_port_leaves_out_whose_it_is(ports):
    """It costs what was to listen there, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        chosen = plan(make_settings(**ports | {"alertmanager_port": port}), ALL)
    assert set(chosen.commands) == {"prometheus"}
    assert chosen.skipped == {"Alertmanager": f"left out: ALERTMANAGER_PORT={port} is taken"}


def test_a_port_that_another_setting_has_is_taken(ports):
    """Nobody listens there yet, but somebody will."""
    same = ports | {"alertmanager_port": ports["prometheus_port"]}
    assert set(plan(make_settings(**same), ALL).commands) == {"prometheus"}
    chosen = plan(make_settings(**ports, port=ports["prometheus_port"]), ALL)
    assert chosen.commands == {}


@pytest.mark.parametrize("changes", [{"jobs": False}, {"redis_url": "redis://localhost:6379/0"}])
def test_only_the_broker_of_make_run_is_exported(ports, changes):
    """Another broker has a password that this machine does not know."""
    chosen = plan(make_settings(**ports, **{"jobs": True} | changes), ALL)
    assert "valkey" not in chosen.commands
    assert "Valkey's exporter" not in chosen.skipped


def test_it_can_be_turned_off(ports):
    """Where another Prometheus watches."""
    chosen = plan(make_settings(**ports, monitoring="off"), ALL)
    assert (chosen.commands, chosen.urls, chosen.skipped) == ({}, {}, {})


def preflight(ports: dict[str, int], path: object, **more: str):
    """Run the command on free ports, with nothing installed but what is in a folder."""
    given = {name.upper(): str(number) for name, number in ports.items()}
    own = {"PORT": str(free_port()), "WORKER_METRICS_PORT": str(free_port())}
    variables = {"JOBS": "off", "PATH": str(path), **own, **given, **more}
    return command("preflight", variables=variables)


@pytest.fixture
def programs(tmp_path):
    """A folder with programs that are found, and not started here."""
    for name in ("prometheus", "alertmanager"):
        (tmp_path / name).touch(mode=0o755)
    return tmp_path


def test_the_preflight_prints_addresses(ports, programs):
    """And has the process started that runs them."""
    done = preflight(ports, programs)
    assert f"Alertmanager       http://localhost:{ports['alertmanager_port']}" in done.stderr
    assert done.stdout.split()[1:] == ["web", "monitoring"]


def test_the_preflight_says_what_is_not_installed(ports):
    """And the service itself starts."""
    done = preflight(ports, "/none")
    assert f"Prometheus         {LACKING}" in done.stderr
    assert done.stdout.split()[1:] == ["web"]


def test_the_preflight_says_whose_port_is_taken(ports, programs):
    """Likewise."""
    port = ports["prometheus_port"]
    with socket.create_server(("127.0.0.1", port)):
        done = preflight(ports, programs)
    assert f"Prometheus         left out: PROMETHEUS_PORT={port} is taken" in done.stderr
    assert done.stdout.split()[1:] == ["web"]


def test_the_preflight_names_a_secret_that_is_missing(ports, programs):
    """Before anything starts, so that nobody learns of it from the page that did not come."""
    done = preflight(ports, programs, ALERT_SLACK_URL_FILE="/none")
    assert done.returncode == 1
    fault = "ALERT_SLACK_URL_FILE: cannot read /none: No such file or directory"
    assert done.stderr.strip() == fault


def test_what_the_preflight_has_started_is_in_the_procfile(ports, programs):
    """Honcho knows these names alone."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    known = {line.partition(":")[0] for line in lines}
    done = preflight(ports, programs, JOBS="on")
    assert set(done.stdout.split()[1:]) == known
