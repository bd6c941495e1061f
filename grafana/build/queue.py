"""Panels of jobs for several dashboards: outcomes, waiting time, messages."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.graphs import Lines, graph
from grafana.build.queries import Query, aggregate, metric, quantiles, rate
from grafana.build.style import About, Display
from grafana.build.traffic import QUANTILES

MESSAGES = "jobs_queue_messages"
AWAY = "broker or worker not reachable"
OUTCOMES = {
    "^succeeded$": "green",
    "^failed$": "red",
    "^expired$": "dark-red",
    "^cancelled$": "blue",
}
STATES = {"^ready$": "yellow", "^running$": "green", "^delayed$": "blue", "^dead$": "red"}


def finished(*matchers: str) -> dash.Panel:
    """Jobs that ended, by outcome, and those that were sent."""
    about = About(
        "Jobs by outcome",
        "Jobs that ended in a second, by outcome; dashed the messages that were sent for jobs.",
        "green, and as high as the dashed line.",
        "red: `python -m project jobs list --status failed` says why. A dashed line that stays "
        "above the rest: the queue grows.",
    )
    queries = [
        Query(rate("jobs_total", *matchers, by=("outcome",)), "{{outcome}}"),
        Query(rate("jobs_enqueued_total", *matchers), "sent"),
    ]
    how = Lines(stacked=True, colours=OUTCOMES, dashed="^sent$")
    return graph(about, Display("ops", nothing="no jobs"), queries, how)


def waiting(*matchers: str) -> dash.Panel:
    """From acceptance to the first attempt."""
    about = About(
        "Time that jobs wait",
        "The time from acceptance to the first attempt, of jobs that began then; dashed the limit "
        "of the objective.",
        f"below {limits.FRESHNESS_SECONDS} s.",
        "more work than workers, or missing workers: check the queue and the workers.",
    )
    steps = limits.steps("transparent", (limits.FRESHNESS_SECONDS, limits.RED))
    queries = quantiles("jobs_wait_seconds", *matchers)
    how = Lines(colours=QUANTILES, limited=True)
    return graph(about, Display("s", steps=steps, nothing="no jobs"), queries, how)


def ready(*matchers: str) -> str:
    """Messages that wait, by queue; every worker reports the same number."""
    return aggregate("max", metric(MESSAGES, *matchers, 'state="ready"'), "queue")


def by_queue(*matchers: str) -> dash.Panel:
    """The backlog of each queue."""
    about = About(
        "Messages that wait, by queue",
        "Messages that are ready, in the queue of each model.",
        "hardly any in each.",
        "one queue grows and the others do not: its workers are too few or gone. All grow: all "
        "workers are busy, or gone.",
    )
    return graph(about, Display("short", 0, nothing=AWAY), [Query(ready(*matchers), "{{queue}}")])


def messages(*matchers: str) -> dash.Panel:
    """The queues as the broker reports them."""
    about = About(
        "Messages in the queues",
        "Messages in the broker: ready, running, delayed for a retry, dead.",
        "hardly any ready, none dead.",
        "ready grows: too few workers (JobsOldestMessageOld). Dead: messages of another "
        "release (JobsDeadLetters).",
    )
    counts = aggregate("max", metric(MESSAGES, *matchers), "queue", "state")
    queries = [Query(aggregate("sum", counts, "state"), "{{state}}")]
    how = Lines(stacked=True, colours=STATES)
    return graph(about, Display("short", 0, nothing=AWAY), queries, how)
