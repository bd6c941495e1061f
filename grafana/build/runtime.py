"""The dashboard Runtime: processes, memory, the event loop, Valkey, the telemetry itself."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import common, limits, monitoring, processes, telemetry, traffic, valkey
from grafana.build.figures import number
from grafana.build.frame import choice, source
from grafana.build.graphs import Lines, graph, states
from grafana.build.layout import Section, Shelf, dashboard
from grafana.build.queries import API, EITHER, INSTANCE, Query, aggregate, metric, rate
from grafana.build.style import About, Display

HERE = (EITHER, INSTANCE)
EVERY_JOB = 'job=~"vitrine-.+|valkey|prometheus|alertmanager"'
BY = ("job", "instance")
NAME = "{{job}} {{instance}}"
NOTHING = "no target"


def runtime() -> dash.Dashboard:
    """Processes, Valkey and the telemetry."""
    return dashboard(
        "vitrine-runtime",
        "Runtime",
        "Are all processes up, do they have resources left, and can the telemetry be trusted?",
        [source(), choice("instance", "Instance", metric("up", EITHER))],
        [
            _objectives(),
            _processes(),
            valkey.section(),
            telemetry.section(*HERE),
            monitoring.section(),
        ],
    )


def _objectives() -> Section:
    return Section(
        "Objectives and alerts",
        [
            Shelf(
                4,
                [
                    (6, _down()),
                    (6, processes.missing(*HERE)),
                    (6, _fullest()),
                    (6, telemetry.slowest(*HERE)),
                ],
            ),
            Shelf(8, [(8, common.alerts()), (8, _targets()), (8, common.readiness(API, INSTANCE))]),
        ],
    )


def _down() -> dash.Panel:
    about = About(
        "Targets down",
        "Targets that Prometheus cannot scrape: ours, and those of the monitoring itself.",
        "0.",
        "the timeline below names them.",
    )
    up = metric("up", EVERY_JOB)
    display = Display(
        "short", 0, nothing=NOTHING, steps=limits.steps(limits.GREEN, (1, limits.RED))
    )
    return number(about, display, [Query(f"count({up}) - sum({up})")])


def _fullest() -> dash.Panel:
    about = About(
        "Memory, fullest instance",
        "Resident memory of all workers of the instance nearest to its limit.",
        f"below {limits.MEMORY_SHARE:.0%}.",
        "find the instance below: MemoryNearLimit.",
    )
    used = aggregate("sum", metric("process_worker_resident_memory_bytes", *HERE), *BY)
    limit = aggregate("max", metric("process_memory_limit_bytes", *HERE), *BY)
    steps = limits.below(limits.MEMORY_SHARE, 0.75)
    display = Display("percentunit", 0, 0, 1, nothing=NOTHING, steps=steps)
    return number(about, display, [Query(f"max({used} / {limit})")])


def _targets() -> dash.Panel:
    about = About(
        "Targets",
        "Whether Prometheus can scrape each target.",
        "green throughout.",
        "ours: ApiDown, ApiInstanceDown, WorkerMetricsDown. valkey: its exporter. The others: "
        "the monitoring itself; restart it.",
    )
    expr = metric("up", EVERY_JOB)
    return states(about, [Query(expr, NAME)], common.UP, nothing=NOTHING)


def _processes() -> Section:
    return Section(
        "Processes",
        [
            Shelf(8, [(12, _memory()), (6, traffic.memory(*HERE)), (6, _processors())]),
            Shelf(
                7,
                [
                    (6, common.workers(*HERE)),
                    (6, processes.exits(*HERE)),
                    (6, processes.lag(*HERE)),
                    (6, _threads()),
                ],
            ),
        ],
    )


def _memory() -> dash.Panel:
    about = About(
        "Memory",
        "Resident memory of all workers of an instance, and of its largest worker.",
        "level, after the models are loaded.",
        "one rising worker: a leak in the path of some requests. All: larger images or "
        "batches. MemoryNearLimit.",
    )
    queries = [
        Query(aggregate("sum", metric("process_worker_resident_memory_bytes", *HERE), *BY), NAME),
        Query(
            aggregate("max", metric("process_worker_resident_memory_max_bytes", *HERE), *BY),
            f"largest {NAME}",
        ),
    ]
    how = Lines(values=("lastNotNull", "max"))
    return graph(about, Display("bytes", nothing=NOTHING), queries, how)


def _processors() -> dash.Panel:
    about = About(
        "Processors in use",
        "Processor time of an instance's workers in a second: 1 is one processor.",
        "below the instance's processors.",
        "at its limit the instance is full: more instances.",
    )
    query = rate("process_worker_cpu_seconds_total", *HERE, by=BY)
    return graph(about, Display("short", 2, nothing=NOTHING), [Query(query, NAME)])


def _threads() -> dash.Panel:
    about = About(
        "Threads",
        "Threads of all workers of an instance.",
        "level.",
        "a steady rise is a leak of threads: restart the instance, and find what starts them.",
    )
    query = aggregate("sum", metric("process_worker_threads", *HERE), *BY)
    return graph(about, Display("short", 0, nothing=NOTHING), [Query(query, NAME)], Lines())
