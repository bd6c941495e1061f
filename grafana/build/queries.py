"""PromQL in pieces: which targets, rates, means, shares and quantiles."""

from dataclasses import dataclass

API = 'job="vitrine-api"'
WORKER = 'job="vitrine-worker"'
EITHER = 'job=~"vitrine-.+"'
INSTANCE = 'instance=~"$instance"'
MODEL = 'model=~"$model"'
QUEUE = 'queue=~"$model"'  # a queue has the name of its model
QUEUE_NAME = 'queue_name=~"$model"'  # as Dramatiq names the label
PREDICTIONS = 'handler=~"/v1/models/($model)/predictions"'
EVERY_PREDICTION = 'handler=~"/v1/models/.+/predictions"'
WINDOW = "[$__rate_interval]"


@dataclass(frozen=True)
class Query:
    """One query. legend: the name of its series, `{{label}}` allowed."""

    expr: str
    legend: str = ""


def metric(name: str, *matchers: str) -> str:
    """A selector: `name{job="…",…}`."""
    return f"{name}{{{','.join(matchers)}}}"


def aggregate(how: str, expr: str, *by: str) -> str:
    """`sum by (a, b) (…)`, or over everything."""
    grouping = f" by ({', '.join(by)}) " if by else ""
    return f"{how}{grouping}({expr})"


def rate(name: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """A counter's increase per second, summed over all labels but `by`."""
    return aggregate("sum", f"rate({metric(name, *matchers)}{WINDOW})", *by)


def gained(name: str, *matchers: str, over: str = "$__range", by: tuple[str, ...] = ()) -> str:
    """A counter's increase in a window, by default the selected one."""
    return aggregate("sum", f"increase({metric(name, *matchers)}[{over}])", *by)


def mean(histogram: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """The mean of a histogram's observations."""
    return (
        f"{rate(histogram + '_sum', *matchers, by=by)} / "
        f"{rate(histogram + '_count', *matchers, by=by)}"
    )


def quantile(q: float, histogram: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """A quantile of a histogram's observations."""
    buckets = rate(histogram + "_bucket", *matchers, by=("le", *by))
    return f"histogram_quantile({q}, {buckets})"


def quantiles(
    histogram: str, *matchers: str, of: tuple[float, ...] = (0.5, 0.95, 0.99)
) -> list[Query]:
    """The usual three lines, slowest last."""
    return [Query(quantile(q, histogram, *matchers), f"p{q * 100:g}") for q in of]


def buckets(histogram: str, *matchers: str) -> str:
    """The data of a heat map: the count of each bucket in each step."""
    return aggregate("sum", f"increase({metric(histogram + '_bucket', *matchers)}{WINDOW})", "le")


def slo_seconds(*matchers: str) -> str:
    """The time within which a prediction counts as good, by model."""
    return aggregate("max", metric("model_slo_seconds", *matchers), "model")


def padded(part: str, whole: str) -> str:
    """A part whose series may not exist yet: 0 if the whole exists."""
    return f"({part} or 0 * {whole})"


def share(part: str, whole: str) -> str:
    """The part divided by the whole; nothing, not NaN, if the whole is 0."""
    return f"{padded(part, whole)} / ({whole} > 0)"


def known(expr: str) -> str:
    """Without NaN, which a table or a single number would print."""
    return f"{expr} >= 0"
