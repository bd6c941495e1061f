"""Panels of processes that more than one dashboard shows: loop, exits, log, missing workers."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph
from grafana.build.queries import Query, aggregate, metric, quantile, rate
from grafana.build.style import About, Look

EXITS = {"^clean$": "green", "^timeout$": "orange", "^killed$": "red", "^crash$": "dark-red"}
LEVELS = {
    "^DEBUG$": "text",
    "^INFO$": "blue",
    "^WARNING$": "yellow",
    "^ERROR$": "red",
    "^CRITICAL$": "dark-red",
}


def missing(*matchers: str) -> dash.Panel:
    """How many workers are not there."""
    about = About(
        "Workers missing",
        "Workers that should serve and do not, over all instances that are up.",
        "0, apart from seconds after a start.",
        "a model's load hangs or takes very long; the runbook is ApiWorkersMissing.",
    )
    expected = aggregate("sum", metric("server_workers_expected", *matchers))
    serving = aggregate("sum", metric("server_workers", *matchers))
    steps = limits.steps(limits.GREEN, (1, limits.RED))
    look = Look("short", 0, nothing="no target", steps=steps)
    return number(about, look, [Query(f"clamp_min({expected} - {serving}, 0)")])


def lag(*matchers: str) -> dash.Panel:
    """How late the event loop comes."""
    about = About(
        "Event loop lag",
        "99 % of the timers fired at most so much later than asked, by instance.",
        "some milliseconds.",
        f"above {limits.LAG_SECONDS} s something blocks the loop, and /health with it: the runbook "
        "is EventLoopBlocked.",
    )
    by = ("job", "instance")
    steps = limits.steps("transparent", (limits.LAG_SECONDS, limits.RED))
    query = quantile(0.99, "event_loop_lag_seconds", *matchers, by=by)
    look = Look("s", steps=steps, nothing="no target")
    return graph(about, look, [Query(query, "{{job}} {{instance}}")], Lines(limited=True))


def exits(*matchers: str) -> dash.Panel:
    """Workers that ended."""
    about = About(
        "Exits of workers",
        "Workers that ended, by reason, in the minutes before each point.",
        "clean alone: deploys, reloads and MAX_REQUESTS.",
        "killed: often out of memory. timeout: a blocked loop or a hung forward pass. crash: an "
        "error at start or in C code. Three in ten minutes are ApiWorkerCrashLoop.",
    )
    query = metric("server_worker_exits_total", *matchers)
    expr = aggregate("sum", f"increase({query}[$__rate_interval])", "reason")
    how = Lines(stacked=True, colours=EXITS)
    return graph(about, Look("short", 1, nothing="no target"), [Query(expr, "{{reason}}")], how)


def log(*matchers: str) -> dash.Panel:
    """Log lines that deserve a look."""
    about = About(
        "Log lines by level",
        "Lines written in a second, by level.",
        "hardly anything above INFO.",
        "read them: `python -m project trace ID`, or the log of that time.",
    )
    query = rate("log_messages_total", *matchers, by=("level",))
    how = Lines(colours=LEVELS)
    return graph(about, Look("ops", nothing="no target"), [Query(query, "{{level}}")], how)
