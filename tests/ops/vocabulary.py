"""What rules, panels and runbooks may speak of: every series, its labels, their values."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml
from prometheus_client.utils import floatToGoString

from project.observability.metrics import METHODS, exposed
from project.settings import Settings
from tests.ops import promql
from tests.ops.tools import ROOT

OURS = {"vitrine-api", "vitrine-worker"}
TARGET = {"job", "instance"}
ONLY_API = ("http_", "readiness_", "slo_latency_", "model_slo_", "websocket_")
ONLY_API += ("auth_", "quota_", "rate_limit_", "limit_store_")
ONLY_WORKER = ("jobs_", "dramatiq_")
ENQUEUED_AND_ENDED = {"jobs_enqueued_total", "jobs_total"}  # the API sends, and cancels what waits
SHIPPED = Settings(_env_file=None).models  # each has a queue of its name
CLOSED = {  # labels of ours whose values are few, beside those that the catalogue lists
    "method": METHODS,
    "status": tuple(map(str, range(100, 600))),
    "check": ("database", "storage", "broker", "model:classification"),
    "queue": SHIPPED,
    "queue_name": SHIPPED,
}
EVERY = {*OURS, "prometheus", "alertmanager", "valkey"}
THEIRS: dict[tuple[str, ...], list[str]] = {  # jobs → `kind name label…` of what others emit
    tuple(sorted(EVERY)): [
        "synthetic up",
        "synthetic scrape_duration_seconds",
        "gauge scrape_samples_scraped",
        "gauge scrape_samples_post_metric_relabeling",
        "gauge scrape_series_added",
    ],
    ("prometheus",): [
        "gauge prometheus_config_last_reload_successful",
        "gauge prometheus_config_last_reload_success_timestamp_seconds",
        "gauge prometheus_notifications_alertmanagers_discovered",
        "counter prometheus_notifications_dropped_total",
        "counter prometheus_notifications_errors_total alertmanager",
        "counter prometheus_notifications_sent_total alertmanager",
        "counter prometheus_rule_evaluation_failures_total rule_group",
        "counter prometheus_rule_group_iterations_missed_total rule_group",
        "gauge prometheus_rule_group_last_duration_seconds rule_group",
        "gauge prometheus_tsdb_head_series",
    ],
    ("alertmanager",): [
        "gauge alertmanager_config_last_reload_successful",
        "gauge alertmanager_config_last_reload_success_timestamp_seconds",
        "counter alertmanager_notifications_failed_total integration",
        "counter alertmanager_notifications_total integration",
    ],
    ("alertmanager", "prometheus", "valkey"): ["gauge process_resident_memory_bytes"],
    ("valkey",): [
        "gauge redis_up",
        "gauge redis_blocked_clients",
        "gauge redis_connected_clients",
        "gauge redis_memory_used_bytes",
        "gauge redis_memory_max_bytes",
        "counter redis_commands_processed_total",
        "counter redis_evicted_keys_total",
        "counter redis_rejected_connections_total",
    ],
}
OWN = {"alertname", "alertstate", "severity", "service", "component", "burn", "sign"}


@dataclass(frozen=True)
class Series:
    """One name. kind: counter, gauge, synthetic (written for failed scrapes too) or recorded.

    values: the closed set of each label that has one. jobs: who emits it; empty: a rule does.
    """

    kind: str
    labels: frozenset[str]
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    jobs: frozenset[str] = frozenset()


def rules(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rules of prometheus/FOLDER, each with its file's name."""
    for path in sorted((ROOT / "prometheus" / folder).glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield path.name, rule


@cache
def emitted() -> dict[str, Series]:
    """What targets expose, and what Prometheus writes of a scrape."""
    found: dict[str, Series] = {}
    for spec in exposed():
        jobs = _emitters(spec.name)
        values = {name: CLOSED[name] for name in spec.labels if name in CLOSED} | spec.values
        labels = frozenset({*spec.labels, *TARGET})
        if spec.kind != "histogram":
            found[spec.name] = Series(spec.kind, labels, values, jobs)
            continue
        edges = (*map(floatToGoString, spec.buckets), "+Inf")
        bounds = {"le": edges} if spec.buckets else {}
        found[f"{spec.name}_bucket"] = Series("counter", labels | {"le"}, values | bounds, jobs)
        found[f"{spec.name}_sum"] = Series("counter", labels, values, jobs)
        found[f"{spec.name}_count"] = found[f"{spec.name}_sum"]
    for names, lines in THEIRS.items():
        for line in lines:
            kind, name, *more = line.split()
            found[name] = Series(kind, frozenset({*TARGET, *more}), {}, frozenset(names))
    return found


def _emitters(name: str) -> frozenset[str]:
    """Whose series of a metric of ours ever say anything."""
    if name.startswith(ONLY_API):
        return frozenset({"vitrine-api"})
    if name.startswith(ONLY_WORKER) and name not in ENQUEUED_AND_ENDED:
        return frozenset({"vitrine-worker"})
    return frozenset(OURS)


@cache
def recorded() -> dict[str, Series]:
    """What our rules record, with the labels that their expressions leave."""
    made: dict[str, list[dict[str, Any]]] = {}
    for _, rule in rules("rules"):
        made.setdefault(rule["record"], []).append(rule)
    closed: dict[str, set[str]] = {}
    for series in emitted().values():
        for label, values in series.values.items():
            closed.setdefault(label, set()).update(values)
    for versions in made.values():
        for rule in versions:
            for label, value in rule.get("labels", {}).items():
                closed.setdefault(label, set()).add(value)

    @cache
    def labels_of(name: str) -> frozenset[str]:
        if name not in made:
            return labels_known(name, emitted())
        each = [
            promql.labels_of(promql.parse(rule["expr"]), labels_of) | set(rule.get("labels", {}))
            for rule in made[name]
        ]
        return frozenset[str].intersection(*map(frozenset, each))

    found = {}
    for name in made:
        labels = labels_of(name)
        values = {label: tuple(sorted(closed[label])) for label in labels if label in closed}
        found[name] = Series("recorded", labels, values)
    return found


@cache
def alerts() -> dict[str, Series]:
    """What Prometheus writes of alerts; their other labels are those of any expression."""
    names = tuple({rule["alert"] for _, rule in rules("alerts")})
    labels = frozenset({*OWN, *TARGET, "slo", "model", "queue", "check"})
    values = {"alertname": names, "alertstate": ("pending", "firing")}
    return {name: Series("recorded", labels, values) for name in ("ALERTS", "ALERTS_FOR_STATE")}


@cache
def vocabulary() -> dict[str, Series]:
    """Everything that can be asked for."""
    return emitted() | recorded() | alerts()


def labels_known(name: str, among: dict[str, Series] | None = None) -> frozenset[str]:
    """The labels of a series; none where there is no such series, which the linter tells."""
    found = (vocabulary() if among is None else among).get(name)
    return found.labels if found else frozenset()


def chosen(matcher: Any, values: Iterable[str]) -> set[str]:
    """Those of the values that a matcher's text names, whether it wants them or not."""
    pattern = matcher.value if promql.is_pattern(matcher) else re.escape(matcher.value)
    return {value for value in values if re.fullmatch(pattern, value)}


def scrape_interval() -> float:
    """Seconds between two scrapes, as shipped; the slowest job's where they differ."""
    shipped = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    given = [shipped["global"], *shipped["scrape_configs"]]
    texts = [one["scrape_interval"] for one in given if "scrape_interval" in one]
    return max(promql.seconds(text) for text in texts)
