"""release.sh of deploy/vm: what is restarted when, and what where a release does not start."""

import fcntl
import shutil
import subprocess

import pytest

from tests.deploy.vm_files import NGINX
from tests.deploy.vm_host import Host


@pytest.fixture
def host(tmp_path) -> Host:
    """With a first release."""
    found = Host(tmp_path)
    shutil.copytree(NGINX, found.root / "etc/nginx/vitrine")
    done = found.deploy()
    assert done.returncode == 0, done.stderr
    found.calls()
    return found


def steps(host: Host) -> list[str]:
    """What was restarted, in order."""
    calls = (call.split() for call in host.calls("systemctl"))
    return [words[2] for words in calls if words[1] == "restart"]


def test_a_release_replaces_one_instance_after_the_other(host):
    """Workers first: they understand what the former instances send, and the new ones may send."""
    former = host.link("current")
    revision = host.commit("second")
    done = host.deploy()
    assert done.returncode == 0, done.stderr
    assert (host.link("current"), host.link("previous")) == (revision, former)
    assert steps(host) == ["vitrine-worker", "vitrine-api@8001", "vitrine-api@8002"]


def test_the_database_is_migrated_before_anything_is_restarted(host):
    """By the new release's code; where that fails all stays as it was."""
    former = host.link("current")
    revision = host.commit("second")
    done = host.deploy(MIGRATION="1")
    assert done.returncode == 1
    assert "not migrated" in done.stderr
    assert host.link("current") == former
    calls = host.calls("systemctl", "systemd-run")
    assert not any("restart" in call for call in calls)
    (migration,) = [call for call in calls if "prepare_database" in call]
    assert f"releases/{revision}" in migration
    assert "--uid=vitrine" in migration
    assert "EnvironmentFile=/etc/vitrine/secrets.env" in migration


def test_a_release_that_does_not_start_is_taken_back(host):
    """The second instance never sees it; the first one and the workers serve as before."""
    first = host.link("current")
    second = host.commit("second")
    host.deploy()
    host.calls()
    broken = host.commit("broken")
    host.fake(
        "systemctl",
        '[ "$1" != restart ] || [ "${2#*@}" != 8001 ] || '
        f'[ "$(basename "$(readlink "$ROOT/opt/vitrine/current")")" != {broken} ]\n',
    )
    done = host.deploy()
    assert done.returncode == 1
    assert f"{second} serves again" in done.stderr
    assert (host.link("current"), host.link("previous")) == (second, first)
    back = ["vitrine-api@8001", "vitrine-api@8002", "vitrine-worker"]
    assert steps(host) == ["vitrine-worker", "vitrine-api@8001", *back]


def test_the_way_back_is_the_link_and_the_other_order(host):
    """The instances first: workers of the former release need not understand the newer messages."""
    first = host.link("current")
    second = host.commit("second")
    host.deploy()
    host.calls()
    assert host.run("release.sh", "rollback").returncode == 0
    assert (host.link("current"), host.link("previous")) == (first, second)
    assert steps(host) == ["vitrine-api@8001", "vitrine-api@8002", "vitrine-worker"]
    assert host.run("release.sh", "rollback", second).returncode == 0
    assert host.link("current") == second
    missing = host.run("release.sh", "rollback", "nothing")
    assert missing.returncode == 1
    assert "no release nothing" in missing.stderr


def test_a_way_back_that_does_not_start_is_taken_back(host):
    """Both links are as they were, and what served serves again: the workers first, as ever."""
    first = host.link("current")
    second = host.commit("second")
    host.deploy()
    third = host.commit("third")
    host.deploy()
    host.calls()
    (host.root / f"broken-{first}").touch()
    done = host.run("release.sh", "rollback", first)
    assert done.returncode == 1
    assert f"{third} serves again" in done.stderr
    assert (host.link("current"), host.link("previous")) == (third, second)
    back = ["vitrine-worker", "vitrine-api@8001", "vitrine-api@8002"]
    assert steps(host) == ["vitrine-api@8001", *back]


def test_the_way_back_leads_elsewhere(host):
    """To the release that serves it would forget which one was before."""
    first = host.link("current")
    second = host.commit("second")
    host.deploy()
    host.calls()
    done = host.run("release.sh", "rollback", second)
    assert done.returncode == 1
    assert "serves already" in done.stderr
    assert (host.link("current"), host.link("previous")) == (second, first)
    assert steps(host) == []


def test_what_is_disabled_is_left_alone(host):
    """A machine for jobs alone has no API, one with JOBS=off no workers."""
    only = '[ "$1" != is-enabled ] || [ "$3" = {} ]\n'
    for kept in ("vitrine-worker", "vitrine-api@8002"):
        host.fake("systemctl", only.format(kept))
        host.commit(kept)
        done = host.deploy()
        assert done.returncode == 0, done.stderr
        assert steps(host) == [kept]


def test_a_release_that_is_here_is_not_built_again(host):
    """And one whose building broke off is."""
    host.deploy()
    assert host.calls("make") == []
    revision = host.commit("second")
    host.fake("make", "exit 1\n")
    assert host.deploy().returncode != 0
    assert host.link("current") != revision
    host.fake("make", 'mkdir -p "$3/.venv/bin" && ln -sf /bin/true "$3/.venv/bin/python"\n')
    done = host.deploy()
    assert done.returncode == 0, done.stderr
    assert host.link("current") == revision


def test_few_releases_are_kept(host):
    """The three newest; never fewer than the one that serves and the one before it."""
    made = [host.link("current")]
    for number in range(4):
        made.append(host.commit(f"release {number}"))
        host.deploy()
    assert host.releases() == set(made[-3:])
    assert f"{made[-1]} (serves)\n{made[-2]} (before)\n" in host.run("release.sh", "list").stdout


def test_two_at_a_time_are_refused(host):
    """They would restart both instances at once."""
    with (host.root / "opt/vitrine/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = host.deploy()
    assert done.returncode == 1
    assert "under way" in done.stderr
    assert steps(host) == []


def test_an_archive_is_a_release_too(host, tmp_path):
    """Where the machine has no way to the repository."""
    archive = tmp_path / "v2.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", host.source, "prestart.sh", "deploy"], check=True)
    done = host.run("release.sh", "deploy", str(archive))
    assert done.returncode == 0, done.stderr
    assert host.link("current") == "v2"


@pytest.mark.parametrize("source", ["/nowhere", "."])
def test_what_is_no_release_changes_nothing(host, source, tmp_path):
    """Neither a folder without git nor one that is not there."""
    former = host.link("current")
    given = str(tmp_path / "root") if source == "." else source
    assert host.run("release.sh", "deploy", given).returncode == 1
    assert host.link("current") == former
    assert steps(host) == []


def test_a_process_keeps_the_release_that_it_started_with(host):
    """`current` is resolved at its start: a worker that is replaced later has the same code."""
    current = host.root / "opt/vitrine/current"
    start = [str(current / "deploy/vm/start.sh"), "api"]
    done = subprocess.run(start, capture_output=True, text=True, check=True, cwd="/")
    release = current.resolve()
    assert done.stdout.split() == [str(release), release.name, "api"]
