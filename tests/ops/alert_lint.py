"""What an alert must have, and the ways in which its text or its windows can be silently wrong."""

import re
from collections.abc import Iterator
from typing import Any

from tests.ops import promql
from tests.ops.lint import faults
from tests.ops.vocabulary import labels_known, vocabulary

SEVERITIES = {"page", "ticket", "none"}
COMPONENTS = {"api", "inference", "jobs", "runtime", "telemetry"}
DASHBOARDS = {f"vitrine-{name}" for name in ("overview", "api", "inference", "jobs", "runtime")}
# A query's value with no word of its sentence beside it.
_ALONE = re.compile(r'\{\{-? with query "[^"]+" -?\}\}(?:\s*\{\{[^}]*\}\})*?\s*\{\{-? end -?\}\}')
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}
WATCHDOG = "Watchdog"  # always fires: it waits for nothing and looks at nothing

Rule = dict[str, Any]


def alert_faults(rule: Rule) -> list[str]:
    """All that is wrong with an alert; nothing where it is fine."""
    wrong = faults(rule["expr"])
    if wrong:
        return wrong  # what follows reads the expression
    checks = (_required, _links, _templates, _gauges)
    return [fault for check in checks for fault in check(rule)]


def record_faults(rule: Rule) -> list[str]:
    """All that is wrong with a recording rule."""
    wrong = faults(rule["expr"])
    if not re.fullmatch(r"[a-z_]+(:[a-z0-9_]+){2}", rule["record"]):
        wrong.append("its name is not level:metric:operation")
    return wrong


def _required(rule: Rule) -> Iterator[str]:
    """Routing, inhibition and the person who is paged rely on these."""
    labels, annotations = rule.get("labels", {}), rule.get("annotations", {})
    if labels.get("severity") not in SEVERITIES:
        yield f"severity is one of {', '.join(sorted(SEVERITIES))}"
    if labels.get("component") not in COMPONENTS:
        yield f"component is one of {', '.join(sorted(COMPONENTS))}"
    if labels.get("service") != "vitrine":
        yield "service is vitrine"
    if set(annotations) != ANNOTATIONS:
        yield f"its annotations are {', '.join(sorted(ANNOTATIONS))}"
    if rule["alert"] != WATCHDOG and "for" not in rule:
        yield "it has no `for`: one odd evaluation would fire it"


def _links(rule: Rule) -> Iterator[str]:
    """Where they begin is set in one place, as an external label."""
    annotations = rule.get("annotations", {})
    runbook = f"{{{{ $externalLabels.runbooks_url }}}}/{rule['alert']}.md"
    if annotations.get("runbook_url") != runbook:
        yield f"runbook_url is {runbook}"
    start, _, uid = annotations.get("dashboard_url", "").partition("/d/")
    if start != "{{ $externalLabels.grafana_url }}" or uid not in DASHBOARDS:
        yield "dashboard_url leads to none of the five dashboards"


def _templates(rule: Rule) -> Iterator[str]:
    """A label that the expression has added away is an empty place in the text."""
    kept = promql.labels_of(promql.parse(rule["expr"]), labels_known)
    for name, text in rule.get("annotations", {}).items():
        for label in re.findall(r"\$labels\.(\w+)", text):
            if label not in kept:
                yield f"{name} shows the label {label}, which the expression does not keep"
        for query in re.findall(r'query "([^"]+)"', text):
            yield from (f"{name} asks for {query}: {fault}" for fault in faults(query))
        if _ALONE.search(text):
            yield f"{name} has a broken sentence where a query gives nothing: put it all inside"


def _gauges(rule: Rule) -> Iterator[str]:
    """A missed scrape takes a gauge away: bare, it resolves the alert, or starts it anew.

    A window that is not shorter than `for` lets a single bad sample fire.
    """
    for selector, above in promql.selectors(promql.parse(rule["expr"])):
        name = promql.name_of(selector)
        if vocabulary()[name].kind != "gauge":
            continue
        called = promql.range_call(above)
        if called is None or not called[0].endswith("_over_time"):
            yield f"{name} is a gauge: ask for it over a minute, with max_over_time or the like"
        elif called[1].total_seconds() >= promql.seconds(rule.get("for", "0s")):
            yield f"the window of {name} is not shorter than `for`: one bad sample would fire"
