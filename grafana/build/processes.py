"""Panels of processes for several dashboards: event loop, exits, log, missing workers."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph
from grafana.build.queries import Query, aggregate, metric, quantile, rate
from grafana.build.style import About, Display

EXITS = {"^clean$": "green", "^timeout$": "orange", "^killed$": "red", "^crash$": "dark-red"}
LEVELS = {
    "^DEBUG$": "text",
    "^INFO$": "blue",
    "^WARNING$": "yellow",
    "^ERROR$": "red",
    "^CRITICAL$": "dark-red",
}


def missing(*matchers: str) -> dash.Panel:
    """The number of missing workers."""
    about = About(
        "Workers missing",
        "Expected workers that do not serve, over all instances that are up.",
        "0, apart from seconds after a start.",
        "a model's load hangs or takes very long; the runbook is ApiWorkersMissing.",
    )
    expected = aggregate("sum", metric("server_workers_expected", *matchers))
    serving = aggregate("sum", metric("server_workers", *matchers))
    steps = limits.steps(limits.GREEN, (1, limits.RED))
    display = Display("short", 0, nothing="no target", steps=steps)
    return number(about, display, [Query(f"clamp_min({expected} - {serving}, 0)")])


def lag(*matchers: str) -> dash.Panel:
    """The delay of the event loop's timers."""
    about = About(
        "Event loop lag",
        "99 % of the timers fired at most this late, by instance.",
        "some milliseconds.",
        f"above {limits.LAG_SECONDS} s something blocks the loop, and /health with it: the runbook "
        "is EventLoopBlocked.",
    )
    by = ("job", "instance")
    steps = limits.steps("transparent", (limits.LAG_SECONDS, limits.RED))
    query = quantile(0.99, "event_loop_lag_seconds", *matchers, by=by)
    display = Display("s", steps=steps, nothing="no target")
    return graph(about, display, [Query(query, "{{job}} {{instance}}")], Lines(limited=True))


def exits(*matchers: str) -> dash.Panel:
    """Exits of workers by reason."""
    about = About(
        "Exits of workers",
        "Exits of workers, by reason, in the minutes before each point.",
        "only clean: deploys, reloads and MAX_REQUESTS.",
        "killed: often out of memory. timeout: a blocked loop or a hung forward pass. crash: an "
        "error at start or in C code. Three in ten minutes are ApiWorkerCrashLoop.",
    )
    query = metric("server_worker_exits_total", *matchers)
    expr = aggregate("sum", f"increase({query}[$__rate_interval])", "reason")
    how = Lines(stacked=True, colours=EXITS)
    return graph(about, Display("short", 1, nothing="no target"), [Query(expr, "{{reason}}")], how)


def log(*matchers: str) -> dash.Panel:
    """Log lines by level."""
    about = About(
        "Log lines by level",
        "Lines written in a second, by level.",
        "hardly anything above INFO.",
        "read them: `python -m project trace ID`, or the log of that time.",
    )
    query = rate("log_messages_total", *matchers, by=("level",))
    how = Lines(colours=LEVELS)
    return graph(about, Display("ops", nothing="no target"), [Query(query, "{{level}}")], how)
