"""install.sh of deploy/vm, in a folder in the place of the machine's root."""

import stat
import sys
from pathlib import Path

import pytest

from tests.deploy.environment import settings_of
from tests.deploy.vm_files import VM, directives
from tests.deploy.vm_host import Host
from tests.ops.tools import output

NAME = "cats.example.org"


@pytest.fixture
def host(tmp_path) -> Host:
    return Host(tmp_path)


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and bytes of each file, but for what a release wrote."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and "releases" not in path.parts
    }


def test_the_scripts_are_sound():
    """By shellcheck."""
    installed = Path(sys.executable).parent / "shellcheck"  # of requirements-dev.txt
    output(str(installed), *(str(path) for path in VM.glob("*.sh")))


def test_a_machine_is_made_to_serve(host):
    """Packages, user, database, broker, units and nginx, then the first release."""
    done = host.run("install.sh", NAME)
    assert done.returncode == 0, done.stderr
    assert f"https://{NAME}" in done.stdout
    made = "\n".join(host.calls("apt-get", "useradd", "runuser", "systemctl", "systemd-run"))
    for part in ("nginx", "postgresql", "valkey-server", "CREATE ROLE vitrine", "CREATE DATABASE"):
        assert part in made
    assert "enable --quiet vitrine.target vitrine-api@8001 vitrine-api@8002" in made
    assert "prepare_database" in made
    assert made.rstrip().endswith("systemctl start vitrine.target")
    etc = host.root / "etc"
    assert f"server_name {NAME};" in (etc / "nginx/conf.d/vitrine.conf").read_text()
    assert not (etc / "nginx/sites-enabled/default").exists()
    for name in ("proxy.conf", "problems.conf", "upstream.conf"):
        assert (etc / "nginx/vitrine" / name).exists()
    for name in ("vitrine-api@.service", "vitrine-worker.service", "vitrine.target"):
        assert (etc / "systemd/system" / name).exists()


def test_secrets_are_made_and_are_roots_alone(host):
    """Each machine has its own."""
    host.run("install.sh", NAME)
    secrets = host.root / "etc/vitrine/secrets.env"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert stat.S_IMODE((host.root / "etc/vitrine/tls/privkey.pem").stat().st_mode) == 0o600
    pairs = (line.split("=", 1) for line in secrets.read_text().splitlines() if "=" in line)
    given = {name: value for name, value in pairs if not name.startswith("#")}
    settings = settings_of({**given, "ENVIRONMENT": "production", "METRICS_PORT": "18001"})
    assert len(settings.admin_token.get_secret_value()) >= 32
    assert settings.admin_token != settings.storage_secret


def test_the_number_of_workers_fits_the_machine(host):
    """One for two processors, over both instances; never none."""
    host.fake("nproc", "echo 8\n")
    host.run("install.sh", NAME)
    lines = (host.root / "etc/vitrine/vitrine.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given["WEB_CONCURRENCY"] == "2"
    assert 1 <= int(given["WORKER_PROCESSES"]) <= 4


def test_a_second_time_changes_nothing(host):
    """What was edited stays as well, and no line is added twice."""
    host.run("install.sh", NAME)
    for name in ("vitrine/vitrine.env", "vitrine/secrets.env"):
        with (host.root / "etc" / name).open("a") as file:
            file.write("# mine\n")
    before = contents(host.root)
    done = host.run("install.sh", NAME)
    assert done.returncode == 0, done.stderr
    assert contents(host.root) == before


def test_what_it_was_told_holds_the_next_time(host):
    """No database is installed beside the one elsewhere, and PyTorch comes from the same index."""
    index = "https://example.com/whl/cpu"
    host.run("install.sh", NAME, "--no-database", "--no-broker", TORCH_INDEX=index)
    host.calls()
    first = host.deploy()
    assert first.returncode == 0, first.stderr
    (built,) = host.calls("make")
    assert built.endswith(f"TORCH_INDEX={index}")
    host.commit("second")
    again = host.run("install.sh", NAME)
    assert again.returncode == 0, again.stderr
    made = host.calls("apt-get", "runuser", "make")
    assert not any("postgresql" in call or "valkey" in call or "psql" in call for call in made)
    assert made[-1].endswith(f"TORCH_INDEX={index}")
    host.commit("third")
    host.run("install.sh", NAME, TORCH_INDEX="")
    assert "TORCH_INDEX" not in host.calls("make")[-1]


def test_what_was_disabled_stays_so(host):
    """Units are enabled when their files are new, and only those."""
    host.run("install.sh", NAME)
    host.calls()
    (host.root / "etc/systemd/system/vitrine-worker.service").unlink()
    host.run("install.sh", NAME)
    enabled = [call for call in host.calls("systemctl") if " enable " in call]
    assert [call for call in enabled if "vitrine" in call or "nginx" in call] == [
        "systemctl enable --quiet vitrine-worker"
    ]


def test_what_a_machine_adds_to_nginx_stays(host):
    """Who may call is not of the checkout: a second run must not open the door again."""
    host.run("install.sh", NAME)
    (shipped,) = (line for line in directives("include") if "/etc/vitrine/" in line)
    mine = host.root / shipped.lstrip("/").replace("*", "callers")
    mine.write_text("deny all;\n")
    done = host.run("install.sh", NAME)
    assert done.returncode == 0, done.stderr
    assert mine.read_text() == "deny all;\n"
    assert shipped in (host.root / "etc/nginx/conf.d/vitrine.conf").read_text()


@pytest.mark.parametrize("answer", ["# Keyspace\ndb3:keys=7,expires=0", "NOAUTH Authentication"])
def test_a_broker_with_data_is_left_alone(host, answer):
    """Switched to appending it would start empty."""
    host.fake("redis-cli", f'echo "{answer}"\n')
    done = host.run("install.sh", NAME)
    assert done.returncode == 1
    assert "--no-broker" in done.stderr
    assert not any("valkey" in call or "redis" in call for call in host.calls("apt-get"))


def test_a_broker_with_our_own_data_is_no_obstacle(host):
    """Its configuration includes ours already; nor is one that has nothing."""
    host.fake("valkey-cli", 'echo "# Keyspace"\n')
    assert host.run("install.sh", NAME).returncode == 0
    host.fake("valkey-cli", 'echo "db0:keys=7,expires=0"\n')
    done = host.run("install.sh", NAME)
    assert done.returncode == 0, done.stderr


def test_a_changed_file_of_ours_arrives(host):
    """A unit, say, of a newer checkout."""
    host.run("install.sh", NAME)
    unit = host.root / "etc/systemd/system/vitrine.slice"
    shipped = unit.read_text()
    unit.write_text("old")
    host.run("install.sh", NAME)
    assert unit.read_text() == shipped


def test_without_its_own_database_it_asks_for_another_first(host):
    """A release that cannot migrate would only fail."""
    done = host.run("install.sh", NAME, "--no-database", "--no-broker")
    assert done.returncode == 0, done.stderr
    assert "release.sh deploy" in done.stdout
    assert not any("postgresql" in call or "valkey" in call for call in host.calls("apt-get"))
    assert not (host.root / "opt/vitrine/current").is_symlink()


def test_an_old_broker_is_not_installed(host):
    """Ubuntu 22.04 has Redis 6."""
    host.fake("dpkg", "exit 1\n")  # to `dpkg --compare-versions … ge 7`
    done = host.run("install.sh", NAME, CANDIDATE="5:6.0.16-1")
    assert done.returncode == 1
    assert "--no-broker" in done.stderr
    assert not any("redis" in call or "valkey" in call for call in host.calls("apt-get"))


def test_another_system_is_refused(tmp_path):
    """Before anything is changed."""
    host = Host(tmp_path, "fedora 43")
    done = host.run("install.sh", NAME)
    assert done.returncode == 1
    assert "Debian 12" in done.stderr
    assert host.calls("apt-get") == []


@pytest.mark.parametrize("words", [(), ("a b",), ("--what", NAME), (NAME, "another")])
def test_what_it_does_not_understand_shows_the_usage(host, words):
    """And changes nothing."""
    done = host.run("install.sh", *words)
    assert done.returncode == 2
    assert "--no-database" in done.stderr
    assert host.calls("apt-get") == []
