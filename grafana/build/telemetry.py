"""Panels of our telemetry: the cost and the size of scrapes, and losses."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits, processes
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import API, WORKER, Query, aggregate, metric, quantile, rate
from grafana.build.style import About, Display

BY = ("job", "instance")
NAME = "{{job}} {{instance}}"
NOTHING = "no target"
SCRAPE = "scrape_duration_seconds"


def slowest(*matchers: str) -> dash.Panel:
    """The slowest scrape."""
    about = About(
        "Slowest scrape",
        "The duration of the slowest scrape of our targets.",
        "some hundredths of a second.",
        f"above {limits.SCRAPE_SECONDS} s, half of the time-out, metrics are about to be lost: "
        "MetricsScrapeSlow.",
    )
    steps = limits.below(limits.SCRAPE_SECONDS, 1)
    display = Display("s", nothing=NOTHING, steps=steps)
    return number(about, display, [Query(aggregate("max", metric(SCRAPE, *matchers)))])


def section(*matchers: str) -> Section:
    """All of it."""
    return Section(
        "Telemetry",
        [
            Shelf(
                7, [(8, _scrapes(*matchers)), (8, _samples(*matchers)), (8, _merging(*matchers))]
            ),
            Shelf(
                7, [(8, _files(*matchers)), (8, processes.log(*matchers)), (8, _lost(*matchers))]
            ),
        ],
    )


def _scrapes(*matchers: str) -> dash.Panel:
    about = About(
        "Time of scrapes",
        "The duration of a scrape of each instance; dashed where a ticket is written.",
        "some hundredths of a second, and level.",
        "a rise over days: files of dead workers accumulate, see Metric files. MetricsScrapeSlow.",
    )
    steps = limits.steps("transparent", (limits.SCRAPE_SECONDS, limits.RED))
    query = aggregate("max", metric(SCRAPE, *matchers), *BY)
    return graph(
        about, Display("s", nothing=NOTHING, steps=steps), [Query(query, NAME)], Lines(limited=True)
    )


def _samples(*matchers: str) -> dash.Panel:
    about = About(
        "Series of each instance",
        "The number of samples in a scrape; dashed twice the budget of the API and of a worker.",
        "level, and below the dashed line of its kind.",
        "clients can create values of a label: CardinalityBudget.",
    )
    budgets = ((API, "API", limits.SAMPLES["api"]), (WORKER, "worker", limits.SAMPLES["worker"]))
    name = "scrape_samples_post_metric_relabeling"
    queries = [Query(aggregate("max", metric(name, *matchers), *BY), NAME)]
    queries += [Query(f"vector({most})", f"limit {kind}") for _, kind, most in budgets]
    display = Display("short", nothing=NOTHING)
    return graph(about, display, queries, Lines(dashed="^limit "))


def _merging(*matchers: str) -> dash.Panel:
    about = About(
        "Time to merge the workers' metrics",
        "99 % of the scrapes took at most this long to merge the files of all workers.",
        "some hundredths of a second.",
        "many files, or a slow disk under PROMETHEUS_MULTIPROC_DIR: use a memory file system.",
    )
    query = quantile(0.99, "metrics_collect_duration_seconds", *matchers, by=BY)
    return graph(about, Display("s", nothing=NOTHING), [Query(query, NAME)])


def _files(*matchers: str) -> dash.Panel:
    about = About(
        "Metric files",
        "Files that a scrape reads: a handful for each living worker.",
        "level, however often workers are replaced.",
        "a steady rise: the worker slots of dead workers are not reused.",
    )
    query = aggregate("max", metric("metrics_multiproc_files", *matchers), *BY)
    return graph(about, Display("short", 0, nothing=NOTHING), [Query(query, NAME)])


def _lost(*matchers: str) -> dash.Panel:
    about = About(
        "Telemetry lost",
        "Spans, error reports and log lines in a second that could not be delivered.",
        "0.",
        "traces: the collector. errors: Sentry, or its quota. logs: the disk of LOG_FILE is full.",
    )
    query = rate("telemetry_dropped_total", *matchers, by=("signal",))
    colours = {"traces": "purple", "errors": "red", "logs": "orange"}
    display = Display("ops", nothing=NOTHING)
    return graph(about, display, [Query(query, "{{signal}}")], Lines(colours=colours))
