"""A container's limits are read from cgroup versions 2 and 1; workers and threads fit them."""

from pathlib import Path

import pytest

from project.resources import Resources, Sizing, read_resources, size
from tests.conftest import make_settings

HUGE = 1 << 62
GIB = 1 << 30


@pytest.fixture
def host() -> Resources:
    """The machine without the limits that the tests write."""
    return read_resources(Path("/nonexistent"), Path("/nonexistent"))


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def read(tmp_path: Path, groups: str) -> Resources:
    (tmp_path / "cgroup").write_text(groups)
    return read_resources(tmp_path / "mounts", tmp_path / "cgroup")


def test_without_limits_it_is_what_the_machine_has(host):
    """A plain host, or a system without cgroups."""
    assert host.processors >= 1
    assert host.memory_bytes > 0


def test_version_2_gives_quota_and_memory(tmp_path):
    """Half a processor and a quarter of a gibibyte."""
    write(tmp_path / "mounts" / "app", cpu__max="50000 100000", memory__max=str(GIB // 4))
    machine = read(tmp_path, "0::/app\n")
    assert machine == Resources(0.5, GIB // 4)
    assert machine.whole_processors == 1


def test_version_2_without_a_limit_is_the_hosts(tmp_path, host):
    """`max` is no number."""
    write(tmp_path / "mounts" / "app", cpu__max="max 100000", memory__max="max")
    assert read(tmp_path, "0::/app\n") == host


def test_the_tightest_limit_on_the_way_up_holds(tmp_path):
    """A pod's limit binds its containers, whatever they ask for."""
    write(tmp_path / "mounts" / "pod", cpu__max="25000 100000", memory__max=str(GIB // 8))
    write(tmp_path / "mounts" / "pod" / "app", cpu__max="90000 100000", memory__max=str(GIB))
    assert read(tmp_path, "0::/pod/app\n") == Resources(0.25, GIB // 8)


def test_inside_a_container_the_mount_itself_is_the_group(tmp_path):
    """The path that /proc tells may be the host's, and lead nowhere here."""
    write(tmp_path / "mounts", cpu__max="75000 100000", memory__max=str(GIB // 2))
    assert read(tmp_path, "0::/kubepods/pod1/app\n") == Resources(0.75, GIB // 2)


@pytest.mark.parametrize("controller", ["cpu", "cpu,cpuacct"])
def test_version_1_gives_quota_and_memory(tmp_path, controller):
    """Each controller has a tree of its own, under one of two names."""
    quota = {"cpu__cfs_quota_us": "50000", "cpu__cfs_period_us": "100000"}
    write(tmp_path / "mounts" / controller / "app", **quota)
    write(tmp_path / "mounts" / "memory" / "app", memory__limit_in_bytes=str(GIB // 4))
    groups = f"4:memory:/app\n3:{controller}:/app\n1:name=systemd:/\n"
    assert read(tmp_path, groups) == Resources(0.5, GIB // 4)


def test_version_1_without_a_limit_is_the_hosts(tmp_path, host):
    """-1 and a number near 2^63 stand for none."""
    quota = {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}
    write(tmp_path / "mounts" / "cpu" / "app", **quota)
    write(tmp_path / "mounts" / "memory" / "app", memory__limit_in_bytes=str(HUGE))
    assert read(tmp_path, "4:memory:/app\n3:cpu:/app\n") == host


@pytest.mark.parametrize(("processors", "whole"), [(0.1, 1), (1.0, 1), (1.5, 2), (4.0, 4)])
def test_a_part_of_a_processor_counts_as_a_whole_one(processors, whole):
    """A quota of 1.5 keeps two threads busy three quarters of the time."""
    assert Resources(processors, GIB).whole_processors == whole


@pytest.mark.parametrize(
    ("processors", "gibibytes", "workers", "streams"),
    [
        (0.5, 0.5, 1, 1),  # the smallest container: one worker, though hardly room for it
        (1, 2, 1, 1),
        (1.5, 4, 2, 2),
        (2, 24, 2, 2),
        (2, 1, 1, 2),  # memory for one, which then has all processors
        (4, 8, 2, 4),
        (8, 32, 4, 8),
        (64, 256, 32, 64),
        (256, 8, 10, 256),
        (256, 1024, 64, 256),
    ],
)
def test_the_container_decides(processors, gibibytes, workers, streams):
    """Quota and memory limit, not the host's processors, as `read_resources` finds them."""
    resources = Resources(processors, int(gibibytes * GIB))
    assert size(make_settings(inference_streams=None), resources) == Sizing(workers, streams)


def test_the_settings_have_the_last_word():
    """A measurement beats an estimate."""
    resources = Resources(4, 8 * GIB)
    settings = make_settings(web_concurrency=8, inference_streams=3)
    assert size(settings, resources) == Sizing(8, 3)


def test_one_worker_alone_has_every_processor():
    """With a thread for each processor."""
    settings = make_settings(web_concurrency=1, inference_streams=None)
    assert size(settings, Resources(16, 64 * GIB)) == Sizing(1, 16)
