"""Panels of Prometheus and Alertmanager themselves: whether alerts are delivered."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, metric, rate
from grafana.build.style import About, Display

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
        "Whether the last reload succeeded.",
        "loaded, both.",
        "the old configuration stays: that process's log says what is wrong. ConfigReloadFailed.",
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
    display = Display("short", nothing=NOTHING, words=LOADED, steps=limits.above(1))
    return number(about, display, queries)


def _watchdog() -> dash.Panel:
    about = About(
        "Watchdog",
        "The alert that always fires, so that its absence shows that alerting is broken.",
        "fires.",
        "Prometheus evaluates no rules: see its log. RuleEvaluationFailing.",
    )
    firing = metric("ALERTS", 'alertname="Watchdog"', 'alertstate="firing"', 'service="vitrine"')
    expr = f"count({firing}) or vector(0)"
    words = {"0": ("silent", limits.RED), "1": ("fires", limits.GREEN)}
    display = Display("short", nothing="silent", words=words, steps=limits.above(1))
    return number(about, display, [Query(expr)])


def _rules() -> dash.Panel:
    about = About(
        "Rules",
        "Evaluations of rules in a second that failed, and those skipped for lack of time.",
        "0.",
        "alerts of that group cannot fire: RuleEvaluationFailing.",
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
    return graph(about, Display("ops", nothing=NOTHING), queries, Lines(colours=colours))


def _sent() -> dash.Panel:
    about = About(
        "From Prometheus to Alertmanager",
        "Alerts in a second that were sent, that failed, and that were dropped.",
        "only sent.",
        "Alertmanager is down or its address is wrong: NotificationsFailing.",
    )
    queries = [
        Query(rate("prometheus_notifications_sent_total", PROMETHEUS), "sent"),
        Query(rate("prometheus_notifications_errors_total", PROMETHEUS), "failed"),
        Query(rate("prometheus_notifications_dropped_total", PROMETHEUS), "dropped"),
    ]
    colours = {"sent": "green", "failed": "red", "dropped": "dark-red"}
    return graph(about, Display("ops", nothing=NOTHING), queries, Lines(colours=colours))


def _received() -> dash.Panel:
    about = About(
        "From Alertmanager to people",
        "Notifications in a second that Alertmanager tried to send, and those that failed.",
        "no failures.",
        "notifications are lost: see Alertmanager's log for the reply. NotificationsFailing.",
    )
    queries = [
        Query(rate("alertmanager_notifications_total", ALERTMANAGER), "tried"),
        Query(rate("alertmanager_notifications_failed_total", ALERTMANAGER), "failed"),
    ]
    colours = {"tried": "green", "failed": "red"}
    return graph(about, Display("ops", nothing=NOTHING), queries, Lines(colours=colours))


def _series() -> dash.Panel:
    about = About(
        "Series in Prometheus",
        "Series that Prometheus holds in memory, all targets together.",
        "level.",
        "a steady rise: a label of some target grows. See the series of each instance.",
    )
    query = aggregate("sum", metric("prometheus_tsdb_head_series", PROMETHEUS))
    return graph(about, Display("short", nothing=NOTHING), [Query(query, "series")])


def _memory() -> dash.Panel:
    about = About(
        "Memory of the monitoring",
        "Resident memory of Prometheus and Alertmanager.",
        "level.",
        "Prometheus grows with the series; give it more memory, or find what exposes them.",
    )
    query = aggregate("sum", metric("process_resident_memory_bytes", BOTH), "job")
    return graph(about, Display("bytes", nothing=NOTHING), [Query(query, "{{job}}")])
