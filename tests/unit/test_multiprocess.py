"""Metric files by identity, in real processes: counts add up, go on, and can always be read."""

import re
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from project.observability import metrics, multiprocess
from project.observability.exposition import expose
from project.observability.metrics import CATALOGUE, gauge_modes

ROOT = Path(__file__).parents[2]
START = """
import os
from pathlib import Path
from project.observability import exposition, metrics, multiprocess

directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) if DIRECTORY else None

def work(identity, act):
    "Run act in a forked process that counts under this identity."
    multiprocess.prepare(directory, identity, metrics.gauge_modes())
    multiprocess.identify_child(identity)
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def reject(number):
    return lambda: metrics.HTTP_REJECTED.labels("invalid").inc(number)

def scrape():
    print(exposition.expose(directory).text.decode())
"""


def run(script, directory=None):
    """The same, parsed into samples."""
    return parse(printed(script, directory))


def printed(script, directory):
    """What a process prints that counts in this folder, or alone."""
    command = [sys.executable, "-c", f"DIRECTORY = {directory is not None}\n{START}\n{script}"]
    env = {"PROMETHEUS_MULTIPROC_DIR": str(directory)} if directory else {}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def parse(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


REJECTED = ("http_requests_rejected_total", (("reason", "invalid"),))


def test_the_counters_of_two_workers_add_up(tmp_path):
    """A scrape sees the service, not the worker that happens to answer it."""
    samples = run("work('0', reject(3)); work('1', reject(4)); scrape()", tmp_path)
    assert samples[REJECTED] == 7
    assert (tmp_path / "counter_0.db").exists()
    assert (tmp_path / "counter_1.db").exists()


def test_a_successor_goes_on_counting_where_the_last_one_stopped(tmp_path):
    """A replaced worker neither runs a counter backwards nor leaves files behind."""
    samples = run("work('0', reject(3)); work('0', reject(4)); scrape()", tmp_path)
    assert samples[REJECTED] == 7
    assert {path.name for path in tmp_path.glob("counter_*.db")} == {
        "counter_0.db",
        "counter_main.db",
    }


def test_a_worker_does_not_count_what_its_parent_counted(tmp_path):
    """The parent's own counts stay the parent's."""
    samples = run("reject(5)(); work('0', reject(1)); reject(1)(); scrape()", tmp_path)
    assert samples[REJECTED] == 7


def test_gauges_of_the_living_are_merged_as_their_mode_says(tmp_path):
    """Loaded is the least of all workers, memory their sum, the slowest load the largest."""
    samples = run(
        """
def act(loaded, memory, seconds):
    def report():
        metrics.MODEL_LOADED.labels("m").set(loaded)
        metrics.WORKER_MEMORY.set(memory)
        metrics.MODEL_LOAD_SECONDS.labels("m").set(seconds)
    return report
work("0", act(1, 10, 2.5)); work("1", act(0, 20, 1.5)); scrape()
""",
        tmp_path,
    )
    assert samples["model_loaded", (("model", "m"),)] == 0
    assert samples["process_worker_resident_memory_bytes", ()] == 30
    assert samples["model_load_duration_seconds", (("model", "m"),)] == 2.5


def test_what_a_dead_process_had_in_hand_can_be_read_until_it_is_forgotten(tmp_path):
    """The arbiter asks for it by the dead worker's identity."""
    script = """
work("0", lambda: metrics.HTTP_IN_PROGRESS.inc(3)); work("1", lambda: metrics.WORKERS.set(1))
name = "http_requests_inprogress"
print("had", [multiprocess.live_sum(directory, who, name) for who in ("0", "1", "2")])
multiprocess.forget_live_gauges(directory, "0")
print("had", [multiprocess.live_sum(directory, "0", name)])
"""
    assert printed(script, tmp_path) == "had [3.0, 0.0, 0.0]\nhad [0.0]\n"


def test_prepared_files_can_be_scraped_before_anything_is_counted(tmp_path):
    """prometheus_client's own first moment is an empty file, which no scrape survives."""
    multiprocess.prepare(tmp_path, "0", gauge_modes())
    assert {path.name for path in tmp_path.iterdir()} == {
        "counter_0.db",
        "histogram_0.db",
        *(f"gauge_{mode}_0.db" for mode in gauge_modes()),
    }
    exposed = expose(tmp_path)
    assert (parse(exposed.text.decode()), exposed.files) == ({}, 2 + len(gauge_modes()))
    assert exposed.seconds >= 0


def test_every_file_that_a_worker_opens_was_prepared(tmp_path):
    """Else one kind of metric would have that first moment all the same."""
    run("work('0', lambda: metrics.declare(['m'])); scrape()", tmp_path)
    prepared = tmp_path / "other"
    prepared.mkdir()
    multiprocess.prepare(prepared, "0", gauge_modes())
    assert {path.name for path in tmp_path.glob("*_0.db")} == {
        path.name for path in prepared.iterdir()
    }


def test_preparing_again_loses_no_count(tmp_path):
    """A slot is prepared for every worker that takes it."""
    run("work('0', reject(3))", tmp_path)
    multiprocess.prepare(tmp_path, "0", gauge_modes())
    assert run("scrape()", tmp_path)[REJECTED] == 3


def test_of_a_process_that_is_no_more_only_the_live_gauges_go(tmp_path):
    """What it counted has happened; its memory is free again."""
    script = """
def act():
    metrics.WORKER_MEMORY.set(10)
    metrics.LOOP_LAG.observe(1)
    metrics.HTTP_REJECTED.labels("invalid").inc(3)
work("0", act); work("10", act); work("1", act)
multiprocess.forget_live_gauges(directory, "1")
scrape()
"""
    samples = run(script, tmp_path)
    assert samples["process_worker_resident_memory_bytes", ()] == 20
    assert samples[REJECTED] == 9
    assert samples["event_loop_lag_seconds_count", ()] == 3
    assert not list(tmp_path.glob("gauge_*_1.db"))
    assert len(list(tmp_path.glob("gauge_*_10.db"))) == len(gauge_modes())


def test_emptying_deletes_what_was_counted_and_nothing_else(tmp_path):
    """A wrong PROMETHEUS_MULTIPROC_DIR must not cost a home directory."""
    folder = tmp_path / "new" / "folder"
    multiprocess.empty(folder)
    multiprocess.prepare(folder, "0", gauge_modes())
    for name in ("shade.labels", "shade.0.drift", ".x.new", "slot_0.lock", "letter.txt"):
        (folder / name).touch()
    multiprocess.empty(folder)
    assert {path.name for path in folder.iterdir()} == {"slot_0.lock", "letter.txt"}


def test_one_process_and_several_expose_the_same_series(tmp_path):
    """A dashboard made with `make run` works behind Gunicorn."""
    script = "metrics.declare(['m']); scrape()"
    names = [spec.name for spec in CATALOGUE if spec.kept]

    def ours(samples):
        stems = {key: re.sub("_(bucket|count|sum|created)$", "", key[0]) for key in samples}
        return {key for key, stem in stems.items() if {stem, f"{stem}_total"} & set(names)}

    alone, together = run(script), run(script, tmp_path)
    assert ours(alone) == ours(together) == set(together)
    assert len(together) > len(names)


def test_a_scrape_leaves_out_families_and_buckets_and_changes_no_other():
    """Buckets are cumulative: those that are left say the same."""
    metrics.JOBS_WAIT.labels("bounded").observe(3)
    metrics.JOBS_DURATION.labels("bounded").observe(3)
    bounds = {"jobs_wait_seconds": {"2.5", "10.0", "+Inf"}}
    text = expose(None, left_out={"jobs_duration_seconds"}, bounds=bounds).text.decode()
    lines = [line for line in text.splitlines() if "bounded" in line]
    assert lines == [
        'jobs_wait_seconds_bucket{le="2.5",model="bounded"} 0.0',
        'jobs_wait_seconds_bucket{le="10.0",model="bounded"} 1.0',
        'jobs_wait_seconds_bucket{le="+Inf",model="bounded"} 1.0',
        'jobs_wait_seconds_count{model="bounded"} 1.0',
        'jobs_wait_seconds_sum{model="bounded"} 3.0',
    ]
