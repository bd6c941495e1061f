"""The dashboard Overview: are the objectives met."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import common, limits, traffic
from grafana.build import queue as backlog
from grafana.build.figures import Column, number, rows
from grafana.build.frame import FIRING, source
from grafana.build.graphs import Lines, graph, states
from grafana.build.layout import Section, Shelf, dashboard
from grafana.build.queries import (
    API,
    EITHER,
    EVERY_PREDICTION,
    WORKER,
    Query,
    aggregate,
    metric,
)
from grafana.build.style import About, Display

SLOS = tuple(limits.OBJECTIVES)
COLOURS = {
    "^availability$": "blue",
    "^latency$": "purple",
    "^jobs$": "orange",
    "^freshness$": "light-green",
}
BURN = "slo:sli_error:ratio_rate1h / on (slo) slo:error_budget:ratio"
LEFT = "slo:period_error_budget_remaining:ratio"
YOUNG = "A Prometheus younger than that computes the budget from the data it has."


def overview() -> dash.Dashboard:
    """Objectives, alerts and traffic: the first dashboard to open."""
    return dashboard(
        "vitrine-overview",
        "Overview",
        "Are the objectives met? If not, which one, since when, and what changed?",
        [source()],
        [_objectives(), _requests(), _saturation(), _running()],
    )


def _objectives() -> Section:
    return Section(
        "Objectives and alerts",
        [
            Shelf(5, [(10, _budget()), (10, _burn()), (4, _count())]),
            Shelf(7, [(12, _firing()), (12, common.alerts())]),
            Shelf(7, [(6, common.objective_history(slo)) for slo in SLOS]),
            Shelf(7, [(12, _burn_history()), (12, _budget_history())]),
        ],
    )


def _budget() -> dash.Panel:
    about = About(
        "Error budget left, 30 days",
        f"The remaining share of the errors that 30 days allow, by objective. {YOUNG}",
        "above 25 %.",
        "below 25 % postpone risky changes; below 0 the objective is missed and reliability comes "
        "before features.",
    )
    steps = limits.steps(limits.RED, (0, limits.AMBER), (limits.BUDGET_LOW, limits.GREEN))
    display = Display("percentunit", 0, None, 1, nothing=common.NO_RULES, steps=steps)
    return number(about, display, [Query(LEFT, "{{slo}}")])


def _burn() -> dash.Panel:
    about = About(
        "Burn rate, last hour",
        "How many times faster than allowed the budget was spent in the last hour: at 1 it lasts "
        "exactly 30 days, at 14.4 two days.",
        "below 1.",
        "from 6 on an alert pages; the objective's name says which dashboard to open.",
    )
    display = Display("short", 1, nothing=common.NO_RULES, steps=limits.BURN)
    return number(about, display, [Query(BURN, "{{slo}}")])


def _count() -> dash.Panel:
    about = About(
        "Alerts firing",
        "How many alerts fire now: pages, and tickets, which can wait for the morning.",
        "0 and 0.",
        "the table below names them; begin with the oldest page.",
    )
    queries = [
        Query(_firing_of("page"), "pages"),
        Query(_firing_of("ticket"), "tickets"),
    ]
    ticket = limits.steps(limits.GREEN, (1, limits.ORANGE))
    display = Display("short", 0, nothing="0", steps=limits.steps(limits.GREEN, (1, limits.RED)))
    return number(about, display, queries, colours={"tickets": ticket})


def _firing_of(severity: str) -> str:
    selector = metric(
        "ALERTS", 'alertstate="firing"', 'service="vitrine"', f'severity="{severity}"'
    )
    return f"count({selector}) or vector(0)"


def _firing() -> dash.Panel:
    about = About(
        "What fires now",
        "Each firing alert, and since when its condition has held.",
        "empty.",
        "open the runbook of that name, docs/runbooks/NAME.md, and the dashboard of its component.",
    )
    labels = ("severity", "alertname", "burn", "component", "model")
    since = metric("ALERTS_FOR_STATE", 'service="vitrine"', 'severity!="none"')
    firing = f"{since} * 1000 and ignoring (alertstate) {metric('ALERTS', FIRING)}"
    severity = Display(
        "string",
        words={"page": ("page", limits.RED), "ticket": ("ticket", limits.ORANGE)},
        steps=limits.steps(limits.GREY),
    )
    columns = [
        Column("severity", "severity", severity, 90),
        Column("alertname", "alert"),
        Column("burn", "burn", width=80),
        Column("component", "component", width=110),
        Column("model", "model"),
        Column("A", "since", Display("dateTimeFromNow", coloured=False), 140),
    ]
    expr = aggregate("min", firing, *labels)
    display = Display("short", nothing="nothing fires")
    return rows(about, display, [Query(expr)], columns, ("severity", False))


def _burn_history() -> dash.Panel:
    about = About(
        "Burn rate over 1 hour",
        "The same over time; dashed where a ticket is written (1), and where an alert pages if it "
        "lasts (6) or at once (14.4).",
        "below 1, apart from short peaks.",
        "check for a blue mark, a deploy, where a line begins to rise.",
    )
    display = Display("short", 1, nothing=common.NO_RULES, steps=limits.BURN)
    how = Lines(colours=COLOURS, limited=True, values=("lastNotNull", "max"), soft=2)
    return graph(about, display, [Query(BURN, "{{slo}}")], how)


def _budget_history() -> dash.Panel:
    about = About(
        "Error budget left over time",
        "The budget of 30 days over time, down to where it is spent twice; a cliff is an incident, "
        f"a slope a lasting fault. {YOUNG}",
        "level lines.",
        "select the window of the cliff: all panels follow.",
    )
    steps = limits.steps("transparent", (0, limits.RED))
    # One objective far below must not flatten the others.
    display = Display("percentunit", None, -1, 1, nothing=common.NO_RULES, steps=steps)
    how = Lines(colours=COLOURS, limited=True, values=("lastNotNull", "min"), from_=0)
    return graph(about, display, [Query(LEFT, "{{slo}}")], how)


def _requests() -> Section:
    return Section(
        "Rate, errors, duration",
        [
            Shelf(
                8,
                [
                    (6, traffic.by_status(API)),
                    (6, traffic.failing(API)),
                    (6, traffic.slow(API)),
                    (6, traffic.latency(API, EVERY_PREDICTION)),
                ],
            ),
            Shelf(8, [(12, backlog.finished(EITHER)), (12, backlog.waiting(EITHER))]),
        ],
    )


def _saturation() -> Section:
    return Section(
        "Saturation",
        [
            Shelf(
                7,
                [
                    (8, traffic.admitted(API)),
                    (8, backlog.messages(WORKER)),
                    (8, traffic.memory(EITHER)),
                ],
            )
        ],
    )


def _running() -> Section:
    about = About(
        "Versions",
        "The versions and revisions that run, by job.",
        "one version and revision everywhere, apart from the minutes of a deploy.",
        "two for longer are a stuck deploy: finish it or roll it back.",
    )
    columns = [
        Column("job", "job"),
        Column("version", "version", width=80),
        Column("revision", "revision", width=100),
        Column("A", "instances", Display("short", 0, coloured=False), 90),
    ]
    expr = aggregate("count", metric("app_info", EITHER), "job", "version", "revision")
    display = Display("short", nothing="no target")
    versions = rows(about, display, [Query(expr)], columns, ("job", False))
    return Section(
        "What runs", [Shelf(7, [(8, versions), (8, common.readiness(API)), (8, _targets())])]
    )


def _targets() -> dash.Panel:
    about = About(
        "Targets",
        "Whether Prometheus can scrape each instance.",
        "green throughout.",
        "red is a process that is down or does not answer: ApiDown, ApiInstanceDown, "
        "WorkerMetricsDown.",
    )
    expr = metric("up", EITHER)
    return states(
        about, [Query(expr, "{{job}} {{instance}}")], common.UP, nothing="no target configured"
    )
