"""The dashboard Jobs: how deep, how old, how fast, how many failed."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import common, limits, processes, queue
from grafana.build.dramatiq import inside
from grafana.build.figures import number
from grafana.build.frame import choice, source
from grafana.build.graphs import Lines, graph, heat
from grafana.build.layout import Section, Shelf, dashboard
from grafana.build.queries import (
    EITHER,
    INSTANCE,
    MODEL,
    QUEUE,
    QUEUE_NAME,
    WORKER,
    Query,
    aggregate,
    buckets,
    gained,
    known,
    metric,
    quantile,
    rate,
    share,
)
from grafana.build.style import About, Display

JOBS = (EITHER, MODEL)  # the API counts the jobs that it sends and cancels, the worker the rest
RUNS = (WORKER, INSTANCE, MODEL)
MESSAGES = (WORKER, INSTANCE, QUEUE_NAME)
QUEUES = (WORKER, QUEUE)  # all instances report the same numbers
FAILED = 'outcome=~"failed|expired"'
OLDEST = "jobs_oldest_message_age_seconds"


def jobs() -> dash.Dashboard:
    """The queues and the job workers."""
    return dashboard(
        "vitrine-jobs",
        "Jobs",
        "How deep, how old, how fast, how many failed?",
        [
            source(),
            choice("instance", "Instance", metric("up", WORKER)),
            choice("model", "Model", metric("jobs_total", EITHER)),
        ],
        [_objectives(), _requests(), _saturation(), inside(RUNS, MESSAGES)],
    )


def _objectives() -> Section:
    return Section(
        "Objectives and alerts",
        [
            Shelf(
                4,
                [
                    (4, common.objective("jobs")),
                    (4, common.objective("freshness")),
                    (4, _broker()),
                    (4, _ready()),
                    (4, _oldest()),
                    (4, _dead()),
                ],
            ),
            Shelf(
                7,
                [
                    (8, common.alerts("jobs")),
                    (8, common.objective_history("jobs")),
                    (8, common.objective_history("freshness")),
                ],
            ),
        ],
    )


def _broker() -> dash.Panel:
    about = About(
        "Broker",
        "Whether the broker answers the workers.",
        "up.",
        "jobs are accepted all the same and sent when it is back: BrokerDown.",
    )
    display = Display("short", nothing="no worker", words=common.UP, steps=limits.above(1))
    expr = aggregate("min", metric("jobs_broker_up", WORKER))
    return number(about, display, [Query(expr)])


def _ready() -> dash.Panel:
    about = About(
        "Ready",
        "Messages that wait for a worker, in the queues of all chosen models.",
        "hardly any.",
        "a growing number without a busy worker: JobsNotProcessing. All workers busy: add some.",
    )
    ready = queue.ready(*QUEUES)
    return number(about, Display("short", 0, nothing=queue.AWAY), [Query(f"sum({ready})")])


def _oldest() -> dash.Panel:
    about = About(
        "Oldest waits",
        "How long the first message has waited, in the queue where it has waited longest.",
        f"below {limits.FRESHNESS_SECONDS} s, the objective's edge.",
        f"above {limits.OLDEST_SECONDS} s for 5 minutes an alert pages: JobsOldestMessageOld.",
    )
    steps = limits.below(limits.OLDEST_SECONDS, limits.FRESHNESS_SECONDS)
    display = Display("s", 0, nothing=queue.AWAY, steps=steps)
    return number(about, display, [Query(aggregate("max", metric(OLDEST, *QUEUES)))])


def _dead() -> dash.Panel:
    about = About(
        "Dead",
        "Jobs that failed after all their attempts, in this window, and messages that no worker "
        "understood.",
        "0 and 0.",
        "`python -m project jobs list --status failed`, fix, `jobs retry ID`: JobsDeadLetters.",
    )
    dead = metric(queue.MESSAGES, *QUEUES, 'state="dead"')
    queries = [
        Query(gained("jobs_dead_letters_total", *JOBS), "jobs"),
        Query(f"sum({aggregate('max', dead, 'queue')})", "messages"),
    ]
    display = Display("short", 0, nothing="0", steps=limits.steps(limits.GREEN, (1, limits.RED)))
    return number(about, display, queries)


def _requests() -> Section:
    return Section(
        "Rate, errors, duration",
        [
            Shelf(8, [(8, queue.finished(*JOBS)), (8, _failing()), (8, queue.waiting(*RUNS))]),
            Shelf(8, [(12, _durations()), (12, _spread())]),
        ],
    )


def _failing() -> dash.Panel:
    about = About(
        "Jobs that fail, by model",
        "Share of a model's jobs that failed or reached the time limit; dashed what the objective "
        "allows.",
        "below the dashed line.",
        "`job_failed` and `job_run_broke` in the log name the job and the reason: "
        "JobsErrorBudgetBurn.",
    )
    ended = 'outcome!="cancelled"'
    part = rate("jobs_total", *JOBS, FAILED, by=("model",))
    whole = rate("jobs_total", *JOBS, ended, by=("model",))
    allowed = 1 - limits.OBJECTIVES["jobs"]
    steps = limits.steps("transparent", (allowed, limits.RED))
    display = Display("percentunit", 1, nothing="no jobs", steps=steps)
    how = Lines(limited=True, soft=5 * allowed)
    return graph(about, display, [Query(share(part, whole), "{{model}}")], how)


def _durations() -> dash.Panel:
    about = About(
        "Time of a run by model",
        "Median and 99th percentile of a model's attempts; dashed the limit, JOB_SECONDS. "
        "The axis is logarithmic.",
        f"p99 below {limits.TIME_LIMIT_SHARE:.0%} of the limit.",
        "raise JOB_SECONDS or make the work smaller, before jobs expire: JobsNearTimeLimit.",
    )
    queries = [
        Query(
            known(quantile(q, "jobs_duration_seconds", *RUNS, by=("model",))),
            f"p{q * 100:g} {{{{model}}}}",
        )
        for q in (0.5, 0.99)
    ]
    queries.append(Query(aggregate("max", metric("jobs_time_limit_seconds", WORKER)), "limit"))
    how = Lines(dashed="^limit$", values=("lastNotNull", "max"), fill=0, log=10)
    return graph(about, Display("s", minimum=None, nothing="no jobs"), queries, how)


def _spread() -> dash.Panel:
    about = About(
        "How long runs take",
        "The distribution of the durations of attempts.",
        "a band for each kind of job.",
        "a rising band: the machine is shared or the work grew.",
    )
    return heat(about, "s", buckets("jobs_duration_seconds", *RUNS), "no jobs")


def _saturation() -> Section:
    return Section(
        "Saturation",
        [
            Shelf(7, [(8, queue.messages(*QUEUES)), (8, queue.by_queue(*QUEUES)), (8, _ages())]),
            Shelf(
                7,
                [
                    (12, common.workers(WORKER, INSTANCE)),
                    (12, processes.exits(WORKER, INSTANCE)),
                ],
            ),
        ],
    )


def _ages() -> dash.Panel:
    about = About(
        "Age of the oldest message",
        "How long the first message of each queue has waited; dashed where an alert pages.",
        f"below {limits.FRESHNESS_SECONDS} s.",
        "a line that rises by a second each second: no worker fetches from this queue, "
        "JobsNotProcessing. One line alone: more workers for that queue (`JOB_QUEUES`).",
    )
    steps = limits.steps("transparent", (limits.OLDEST_SECONDS, limits.RED))
    query = aggregate("max", metric(OLDEST, *QUEUES), "queue")
    display = Display("s", nothing=queue.AWAY, steps=steps)
    how = Lines(limited=True, soft=limits.FRESHNESS_SECONDS)
    return graph(about, display, [Query(query, "{{queue}}")], how)
