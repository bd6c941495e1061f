"""Panels of Prometheus and Alertmanager themselves: whether an alert can reach anybody."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, metric, rate
from grafana.build.style import About, Look

PROMETHEUS, ALERTMANAGER = 'job="prometheus"', 'job="alertmanager"'
BOTH = 'job=~"prometheus|alertmanager"'
LOADED = {"0": ("refused", limits.RED), "1": ("loaded", limits.GREEN)}
NOTHING = "not scraped"


def section() -> Section:
    """The monitoring of the monitoring."""
    return Section(
        "Prometheus and Alertmanager",
        [
            Shelf(7, [(4, _configured()), (4, _watchdog()), (8, _rules()), (8, _sent())]),
            Shelf(7, [(8, _received()), (8, _series()), (8, _memory())]),
        ],
    )


def _configured() -> dash.Panel:
    about = About(
        "Configuration",
        "Whether the last reload was taken.",
        "loaded, both.",
        "the old one goes on: the log of that process says what is wrong. ConfigReloadFailed.",
    )
    queries = [
        Query(
            aggregate("min", metric("prometheus_config_last_reload_successful", PROMETHEUS)),
            "Prometheus",
        ),
        Query(
            aggregate("min", metric("alertmanager_config_last_reload_successful", ALERTMANAGER)),
            "Alertmanager",
        ),
    ]
    look = Look("short", nothing=NOTHING, words=LOADED, steps=limits.above(1))
    return number(about, look, queries)


def _watchdog() -> dash.Panel:
    about = About(
        "Watchdog",
        "The alert that always fires, so that its silence tells that alerting is broken.",
        "fires.",
        "Prometheus evaluates no rules: see its log. RuleEvaluationFailing.",
    )
    firing = metric("ALERTS", 'alertname="Watchdog"', 'alertstate="firing"', 'service="vitrine"')
    expr = f"count({firing}) or vector(0)"
    words = {"0": ("silent", limits.RED), "1": ("fires", limits.GREEN)}
    look = Look("short", nothing="silent", words=words, steps=limits.above(1))
    return number(about, look, [Query(expr)])


def _rules() -> dash.Panel:
    about = About(
        "Rules",
        "Evaluations of rules in a second that failed, and those that came too late to be made.",
        "0.",
        "alerts of that group are blind: RuleEvaluationFailing.",
    )
    queries = [
        Query(
            rate("prometheus_rule_evaluation_failures_total", PROMETHEUS),
            "failed",
        ),
        Query(
            rate("prometheus_rule_group_iterations_missed_total", PROMETHEUS),
            "missed",
        ),
    ]
    colours = {"failed": "red", "missed": "orange"}
    return graph(about, Look("ops", nothing=NOTHING), queries, Lines(colours=colours))


def _sent() -> dash.Panel:
    about = About(
        "From Prometheus to Alertmanager",
        "Alerts in a second that were sent, that failed, and that were dropped.",
        "sent alone.",
        "Alertmanager is away or another one is named: NotificationsFailing.",
    )
    queries = [
        Query(rate("prometheus_notifications_sent_total", PROMETHEUS), "sent"),
        Query(rate("prometheus_notifications_errors_total", PROMETHEUS), "failed"),
        Query(rate("prometheus_notifications_dropped_total", PROMETHEUS), "dropped"),
    ]
    colours = {"sent": "green", "failed": "red", "dropped": "dark-red"}
    return graph(about, Look("ops", nothing=NOTHING), queries, Lines(colours=colours))


def _received() -> dash.Panel:
    about = About(
        "From Alertmanager to people",
        "Notifications in a second that Alertmanager tried to send, and those that failed.",
        "no failures.",
        "nobody was told: the log of Alertmanager has the receiver's answer. NotificationsFailing.",
    )
    queries = [
        Query(rate("alertmanager_notifications_total", ALERTMANAGER), "tried"),
        Query(rate("alertmanager_notifications_failed_total", ALERTMANAGER), "failed"),
    ]
    colours = {"tried": "green", "failed": "red"}
    return graph(about, Look("ops", nothing=NOTHING), queries, Lines(colours=colours))


def _series() -> dash.Panel:
    about = About(
        "Series in Prometheus",
        "Series that Prometheus holds in memory, all targets together.",
        "level.",
        "a steady rise: some target's labels are open. See the series of each instance.",
    )
    query = aggregate("sum", metric("prometheus_tsdb_head_series", PROMETHEUS))
    return graph(about, Look("short", nothing=NOTHING), [Query(query, "series")])


def _memory() -> dash.Panel:
    about = About(
        "Memory of the monitoring",
        "Resident memory of Prometheus and Alertmanager.",
        "level.",
        "Prometheus grows with the series; give it more, or find who makes them.",
    )
    query = aggregate("sum", metric("process_resident_memory_bytes", BOTH), "job")
    return graph(about, Look("bytes", nothing=NOTHING), [Query(query, "{{job}}")])
