"""What promtool does not see in a query: each check here names one way to be silently wrong.

A check takes the tree of an expression and yields what is wrong with it, in words.
"""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser

from tests.ops import promql
from tests.ops.vocabulary import (
    OURS,
    chosen,
    labels_known,
    scrape_interval,
    vocabulary,
)

GAINS = {"rate", "irate", "increase", "resets"}  # functions that survive a counter's restart
PRESENCE = {"absent", "absent_over_time", "present_over_time"}  # functions that read no value
SCRAPES = 4  # in a window, at least: two may be missed and a rate is still there
BOTH = "vitrine-.+"


def faults(expr: str) -> list[str]:
    """All that is wrong with an expression; nothing where it is fine."""
    try:
        tree = promql.parse(expr)
    except ValueError as error:
        return [f"it does not parse: {error}"]
    unknown = list(_unknown_series(tree))
    if unknown:
        return unknown  # the other checks would only repeat it
    checks = (_kinds, _windows, _jobs, _labels, _values, _quantiles)
    return [fault for check in checks for fault in check(tree)]


def _unknown_series(tree: Any) -> Iterator[str]:
    """A misspelt metric is an alert that never fires."""
    for selector, _ in promql.selectors(tree):
        name = promql.name_of(selector)
        if name not in vocabulary():
            yield f"{name or selector}: nobody emits or records that"


def _kinds(tree: Any) -> Iterator[str]:
    """A counter says something only as a rate, and a rate only something of a counter."""
    for selector, above in promql.selectors(tree):
        name = promql.name_of(selector)
        function = above[-2].func.name if promql.range_call(above) else _function(above)
        counts = vocabulary()[name].kind == "counter"
        if counts and function not in GAINS | PRESENCE:
            yield f"{name} is a counter: use it under rate() or increase()"
        if not counts and function in GAINS:
            yield f"{name} is no counter: {function}() of it means nothing"


def _function(above: tuple[Any, ...]) -> str:
    nearest = above[-1] if above else None
    return nearest.func.name if isinstance(nearest, promql_parser.Call) else ""


def _windows(tree: Any) -> Iterator[str]:
    """A window of two scrapes is empty as soon as one is missed."""
    least = SCRAPES * scrape_interval()
    for selector, above in promql.selectors(tree):
        called = promql.range_call(above)
        if called and called[0] in GAINS and called[1].total_seconds() < least:
            yield (
                f"{called[0]}({promql.name_of(selector)}) looks back less than {least:g} s, "
                f"which is {SCRAPES} scrapes"
            )


def _jobs(tree: Any) -> Iterator[str]:
    """A Prometheus for many services has others' http_requests_total too."""
    for selector, _ in promql.selectors(tree):
        name = promql.name_of(selector)
        emitters = vocabulary()[name].jobs
        if not emitters:
            continue
        wanted = [one for one in promql.matchers(selector) if one.name == "job"]
        if not wanted:
            yield f"{name} selects no job: write job=…"
            continue
        (job,) = wanted
        for part in _parts(job):
            if part not in emitters and not (part == BOTH and emitters & OURS):
                yield f"{name}: job is never {part}, but {', '.join(sorted(emitters))}"


def _labels(tree: Any) -> Iterator[str]:
    """A label that does not exist groups everything into one, or matches nothing."""
    for node, _ in promql.walk(tree):
        match node:
            case promql_parser.VectorSelector():
                asked = {one.name for one in promql.matchers(node)}
                yield from _missing(asked, labels_known(promql.name_of(node)), node)
            case promql_parser.AggregateExpr() if node.modifier:
                inner = promql.labels_of(node.expr, labels_known)
                yield from _missing(set(node.modifier.labels), inner, node.expr)
            case promql_parser.BinaryExpr() if node.modifier:
                yield from _matched(node)


def _matched(node: Any) -> Iterator[str]:
    modifier = node.modifier
    left, right = (promql.labels_of(side, labels_known) for side in (node.lhs, node.rhs))
    if modifier.matching:
        named = set(modifier.matching.labels)
        yield from _missing(named, left, node.lhs)
        yield from _missing(named, right, node.rhs)
    many = modifier.card == promql_parser.VectorMatchCardinality.ManyToOne
    taken = set(modifier.group_labels or ())
    yield from _missing(taken, right if many else left, node.rhs if many else node.lhs)


def _missing(named: set[str], there: frozenset[str], where: Any) -> Iterator[str]:
    for label in sorted(named - there):
        yield f"{where.prettify()} has no label {label}"


def _values(tree: Any) -> Iterator[str]:
    """`outcome="overloaded"` is a selector that nothing ever matches."""
    for selector, _ in promql.selectors(tree):
        name = promql.name_of(selector)
        for matcher in promql.matchers(selector):
            values = vocabulary()[name].values.get(matcher.name)
            if values is None:
                continue
            parts = [matcher.value] if re.search(r"[()\[]", matcher.value) else _parts(matcher)
            for part in parts:
                one = promql_parser.Matcher(matcher.op, matcher.name, part)
                if not chosen(one, values):
                    yield f"{name}: {matcher.name} is never {part}, but {', '.join(values[:12])}"


def _parts(matcher: Any) -> list[str]:
    """The alternatives of a pattern, each of which has to be there."""
    return matcher.value.split("|") if promql.is_pattern(matcher) else [matcher.value]


def _quantiles(tree: Any) -> Iterator[str]:
    """A quantile of buckets that were added up over their edges is NaN, or nothing."""
    for node, _ in promql.walk(tree):
        if not isinstance(node, promql_parser.Call) or node.func.name != "histogram_quantile":
            continue
        if "le" not in promql.labels_of(node.args[1], labels_known):
            yield f"{node.prettify()} has lost the label le, or is of no buckets"
