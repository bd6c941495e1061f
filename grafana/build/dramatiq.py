"""Panels of retries and of Dramatiq's own metrics: the inside of the job workers."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.graphs import Lines, graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, metric, quantile, rate, share
from grafana.build.style import About, Look

COLOURS = {"processed": "green", "errors": "red", "retries": "yellow", "rejects": "dark-red"}
NOTHING = "no messages"


def inside(runs: tuple[str, ...], workers: tuple[str, ...]) -> Section:
    """Retries by model, and what Dramatiq counts itself."""
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
        "Share of a model's runs that were not a job's first; dashed where a ticket is written.",
        "0 %.",
        "jobs fail again and again, or workers die under them: JobsRetryStorm.",
    )
    part = rate("jobs_retries_total", *matchers, by=("model",))
    first = rate("jobs_wait_seconds_count", *matchers, by=("model",))
    steps = limits.steps("transparent", (limits.RETRY_SHARE, limits.RED))
    look = Look("percentunit", nothing="no jobs", steps=steps)
    how = Lines(limited=True, soft=1)
    return graph(about, look, [Query(share(part, f"({part} + {first})"), "{{model}}")], how)


def _messages(*matchers: str) -> dash.Panel:
    about = About(
        "Dramatiq: messages",
        "Messages in a second that workers processed, that raised, that Dramatiq sent again, and "
        "that it gave up.",
        "processed alone: retries are our own, through the database.",
        "errors: `job_run_broke` in the log. rejects: messages that no worker understood.",
    )
    queries = [
        Query(rate("dramatiq_messages_total", *matchers), "processed"),
        Query(rate("dramatiq_message_errors_total", *matchers), "errors"),
        Query(rate("dramatiq_message_retries_total", *matchers), "retries"),
        Query(rate("dramatiq_message_rejects_total", *matchers), "rejects"),
    ]
    return graph(about, Look("ops", nothing=NOTHING), queries, Lines(colours=COLOURS))


def _in_hand(*matchers: str) -> dash.Panel:
    about = About(
        "Dramatiq: in hand",
        "Messages that the workers of an instance are at.",
        "at most one for each worker.",
        "none while messages are ready: workers are stopped or stuck, JobsNotProcessing.",
    )
    expr = aggregate("sum", metric("dramatiq_messages_inprogress", *matchers), "instance")
    return graph(about, Look("short", 0, nothing=NOTHING), [Query(expr, "{{instance}}")])


def _durations(*matchers: str) -> dash.Panel:
    about = About(
        "Dramatiq: time of a message",
        "Half and 99 % of the messages took at most so long, all that is around a run included.",
        "hardly longer than the run itself.",
        "much longer than a run: the database or the storage is slow.",
    )
    name = "dramatiq_message_duration_milliseconds"
    queries = [Query(quantile(q, name, *matchers), f"p{q * 100:g}") for q in (0.5, 0.99)]
    colours = {"p50": "green", "p99": "red"}
    return graph(about, Look("ms", nothing=NOTHING), queries, Lines(colours=colours))
