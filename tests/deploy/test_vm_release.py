"""release.sh of deploy/vm: order of restarts, failures, rollback, what is kept."""

import fcntl
import shutil
import subprocess

import pytest

from tests.deploy.vm_files import NGINX
from tests.deploy.vm_host import FAKES, Host

API = ["vitrine-api@8001", "vitrine-api@8002"]


@pytest.fixture
def host(tmp_path) -> Host:
    found = Host(tmp_path)
    shutil.copytree(NGINX, found.root / "etc/nginx/vitrine")
    release(found)
    return found


def release(host: Host, message: str = "") -> str:
    if message:
        host.commit(message)
    done = host.deploy()
    assert done.returncode == 0, done.stderr
    host.calls()
    return host.link("current")


def links(host: Host) -> tuple[str, str]:
    return host.link("current"), host.link("previous")


def restarts(host: Host) -> list[str]:
    calls = (call.split() for call in host.calls("systemctl"))
    return [words[2] for words in calls if words[1] == "restart"]


def test_a_release_restarts_the_workers_and_one_instance_after_the_other(host):
    """New workers understand the jobs of old instances, and of new ones."""
    former = host.link("current")
    revision = host.commit("second")
    done = host.deploy()
    assert done.returncode == 0, done.stderr
    assert links(host) == (revision, former)
    assert restarts(host) == ["vitrine-worker", *API]


def test_the_database_is_migrated_before_anything_is_restarted(host):
    """By the new release's code, as the service's user; if that fails nothing changes."""
    former = host.link("current")
    revision = host.commit("second")
    done = host.deploy(MIGRATION="1")
    assert done.returncode == 1
    assert "not migrated" in done.stderr
    assert host.link("current") == former
    calls = host.calls("systemctl", "systemd-run")
    assert not any("restart" in call for call in calls)
    (migration,) = [call for call in calls if "prepare_database" in call]
    for part in (
        f"releases/{revision}",
        "--uid=vitrine",
        "EnvironmentFile=/etc/vitrine/secrets.env",
    ):
        assert part in migration


def test_a_release_that_does_not_start_is_rolled_back(host):
    """The second instance is not restarted; the first one and the workers serve as before."""
    first = host.link("current")
    second = release(host, "second")
    broken = host.commit("broken")
    host.fake(
        "systemctl",
        '[ "$1" != restart ] || [ "${2#*@}" != 8001 ] || '
        f'[ "$(basename "$(readlink "$ROOT/opt/vitrine/current")")" != {broken} ]\n',
    )
    done = host.deploy()
    assert done.returncode == 1
    assert f"{second} serves again" in done.stderr
    assert links(host) == (second, first)
    assert restarts(host) == ["vitrine-worker", API[0], *API, "vitrine-worker"]


def test_a_rollback_restarts_the_instances_first(host):
    """Old workers need not understand new messages; a release that is missing is named."""
    first = host.link("current")
    second = release(host, "second")
    assert host.run("release.sh", "rollback").returncode == 0
    assert links(host) == (first, second)
    assert restarts(host) == [*API, "vitrine-worker"]
    assert host.run("release.sh", "rollback", second).returncode == 0
    assert links(host) == (second, first)
    host.calls()
    for name, complaint in (("nothing", "no release nothing"), (second, "serves already")):
        done = host.run("release.sh", "rollback", name)
        assert done.returncode == 1
        assert complaint in done.stderr
        assert links(host) == (second, first)
        assert restarts(host) == []


def test_a_rollback_that_does_not_start_is_undone(host):
    """Both links are as they were, and the workers are restarted first."""
    first = host.link("current")
    second, third = release(host, "second"), release(host, "third")
    (host.root / f"broken-{first}").touch()
    done = host.run("release.sh", "rollback", first)
    assert done.returncode == 1
    assert f"{third} serves again" in done.stderr
    assert links(host) == (third, second)
    assert restarts(host) == [API[0], "vitrine-worker", *API]


@pytest.mark.parametrize("enabled", ["vitrine-worker", API[1]])
def test_disabled_units_are_not_restarted(host, enabled):
    """A machine for jobs alone has no API, one with JOBS=off no workers."""
    host.fake("systemctl", f'[ "$1" != is-enabled ] || [ "$3" = {enabled} ]\n')
    host.commit("second")
    assert host.deploy().returncode == 0
    assert restarts(host) == [enabled]


def test_a_release_is_built_once_unless_its_build_failed(host):
    host.deploy()
    assert host.calls("make") == []
    revision = host.commit("second")
    host.fake("make", "exit 1\n")
    assert host.deploy().returncode != 0
    assert host.link("current") != revision
    host.fake("make", FAKES["make"])
    assert release(host) == revision


def test_three_releases_are_kept(host):
    made = [host.link("current"), *(release(host, f"release {number}") for number in range(4))]
    assert host.releases() == set(made[-3:])
    assert f"{made[-1]} (serves)\n{made[-2]} (before)\n" in host.run("release.sh", "list").stdout


def test_two_releases_at_a_time_are_refused(host):
    with (host.root / "opt/vitrine/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = host.deploy()
    assert done.returncode == 1
    assert "under way" in done.stderr
    assert restarts(host) == []


def test_an_archive_is_released_and_anything_else_is_refused(host, tmp_path):
    """For machines that cannot reach the repository; a folder without git is no release."""
    archive = tmp_path / "v2.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", host.source, "prestart.sh", "deploy"], check=True)
    done = host.run("release.sh", "deploy", str(archive))
    assert done.returncode == 0, done.stderr
    assert host.link("current") == "v2"
    host.calls()
    for source in ("/nowhere", str(host.root)):
        assert host.run("release.sh", "deploy", source).returncode == 1
        assert host.link("current") == "v2"
        assert restarts(host) == []


def test_a_process_stays_in_the_release_that_it_started_in(host):
    """`current` is resolved at its start, so a worker that is replaced later has the same code."""
    current = host.root / "opt/vitrine/current"
    start = [str(current / "deploy/vm/start.sh"), "api"]
    done = subprocess.run(start, capture_output=True, text=True, check=True, cwd="/")
    folder = current.resolve()
    assert done.stdout.split() == [str(folder), folder.name, "api"]
