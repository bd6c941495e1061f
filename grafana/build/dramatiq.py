"""Panels of retries and of Dramatiq's own metrics: internals of the job workers."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.graphs import Lines, graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, metric, quantile, rate, share
from grafana.build.style import About, Display

COLOURS = {"processed": "green", "errors": "red", "retries": "yellow", "rejects": "dark-red"}
NOTHING = "no messages"


def inside(runs: tuple[str, ...], workers: tuple[str, ...]) -> Section:
    """Retries by model, and Dramatiq's own counts."""
    return Section(
        "Inside",
        [
            Shelf(
                7,
                [
                    (6, _retries(*runs)),
                    (6, _messages(*workers)),
                    (6, _in_hand(*workers)),
                    (6, _durations(*workers)),
                ],
            )
        ],
    )


def _retries(*matchers: str) -> dash.Panel:
    about = About(
        "Runs that are retries",
        "Share of a model's attempts that were retries; dashed where a ticket is written.",
        "0 %.",
        "jobs fail again and again, or their workers die: JobsRetryStorm.",
    )
    part = rate("jobs_retries_total", *matchers, by=("model",))
    first = rate("jobs_wait_seconds_count", *matchers, by=("model",))
    steps = limits.steps("transparent", (limits.RETRY_SHARE, limits.RED))
    display = Display("percentunit", nothing="no jobs", steps=steps)
    how = Lines(limited=True, soft=1)
    return graph(about, display, [Query(share(part, f"({part} + {first})"), "{{model}}")], how)


def _messages(*matchers: str) -> dash.Panel:
    about = About(
        "Dramatiq: messages",
        "Messages in a second that workers processed, that raised, that Dramatiq retried, and "
        "that it rejected.",
        "only processed: retries are our own, through the database.",
        "errors: `job_run_broke` in the log. rejects: messages that no worker understood.",
    )
    queries = [
        Query(rate("dramatiq_messages_total", *matchers), "processed"),
        Query(rate("dramatiq_message_errors_total", *matchers), "errors"),
        Query(rate("dramatiq_message_retries_total", *matchers), "retries"),
        Query(rate("dramatiq_message_rejects_total", *matchers), "rejects"),
    ]
    return graph(about, Display("ops", nothing=NOTHING), queries, Lines(colours=COLOURS))


def _in_hand(*matchers: str) -> dash.Panel:
    about = About(
        "Dramatiq: in hand",
        "Messages of each queue that workers process now.",
        "together at most one for each worker.",
        "none while messages are ready: workers are stopped or stuck, JobsNotProcessing.",
    )
    expr = aggregate("sum", metric("dramatiq_messages_inprogress", *matchers), "queue_name")
    return graph(about, Display("short", 0, nothing=NOTHING), [Query(expr, "{{queue_name}}")])


def _durations(*matchers: str) -> dash.Panel:
    about = About(
        "Dramatiq: time of a message",
        "Median and 99th percentile of the time of a message, all work around it included.",
        "hardly longer than the attempt itself.",
        "much longer than an attempt: the database or the storage is slow.",
    )
    name = "dramatiq_message_duration_milliseconds"
    queries = [Query(quantile(q, name, *matchers), f"p{q * 100:g}") for q in (0.5, 0.99)]
    colours = {"p50": "green", "p99": "red"}
    return graph(about, Display("ms", nothing=NOTHING), queries, Lines(colours=colours))
