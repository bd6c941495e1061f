"""PromQL as a tree: parsed, walked, and which labels an expression's answer can have."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import promql_parser as promql

RATE_INTERVAL = "61s"  # stands for Grafana's own, which is at least four scrape intervals
MAGIC = {"$__rate_interval": RATE_INTERVAL, "$__range": "3h", "$__interval": "61s"}
SET_OPERATIONS = {"and", "unless"}
PICKS = {"topk", "bottomk"}  # aggregations that hand on series as they are
NO_LABELS = {"vector", "scalar", "time"}
ABSENT = {"absent", "absent_over_time"}

Labels = frozenset[str]


@cache
def parse(text: str) -> Any:
    """The tree of a query, Grafana's variables filled in. Raises ValueError."""
    for name, value in MAGIC.items():
        text = text.replace(name, value)
    return promql.parse(re.sub(r"\$\{?\w+\}?", ".+", text))


def children(node: Any) -> list[Any]:
    """The expressions that a node is made of."""
    names = ("expr", "lhs", "rhs", "vector_selector", "param")
    parts = [getattr(node, name, None) for name in names]
    return [part for part in parts if part is not None] + list(getattr(node, "args", []))


def walk(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every node with those above it, the nearest last."""
    yield node, above
    for child in children(node):
        yield from walk(child, (*above, node))


def selectors(tree: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every selector of series, with the nodes above it."""
    for node, above in walk(tree):
        if isinstance(node, promql.VectorSelector):
            yield node, above


def matchers(selector: Any) -> list[Any]:
    """What a selector asks of labels; its own name is none of them."""
    return [one for one in selector.matchers.matchers if one.name != "__name__"]


def is_pattern(matcher: Any) -> bool:
    """Whether a matcher's value is a regular expression."""
    return matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe)


def name_of(selector: Any) -> str:
    """The series that a selector names."""
    named = [one.value for one in selector.matchers.matchers if one.name == "__name__"]
    return selector.name or (named[0] if named else "")


def range_call(above: tuple[Any, ...]) -> tuple[str, Any] | None:
    """The function over a selector's window, and the window; None where it has none."""
    if not above or not isinstance(above[-1], promql.MatrixSelector):
        return None
    return above[-2].func.name, above[-1].range


def labels_of(node: Any, known: Callable[[str], Labels]) -> Labels:
    """The labels that each series of the answer can have. known: those of a series by its name."""
    match node:
        case promql.VectorSelector():
            return known(name_of(node))
        case promql.AggregateExpr():
            return _aggregated(node, known)
        case promql.BinaryExpr():
            return _combined(node, known)
        case promql.Call():
            return _called(node, known)
    inner = getattr(node, "vector_selector", None) or getattr(node, "expr", None)
    return labels_of(inner, known) if inner else frozenset()  # a window, parentheses; a number


def _aggregated(node: Any, known: Callable[[str], Labels]) -> Labels:
    inner = labels_of(node.expr, known)
    if node.modifier is None:
        return inner if str(node.op) in PICKS else frozenset()
    named = frozenset(node.modifier.labels)
    without = node.modifier.type == promql.AggModifierType.Without
    kept = inner - named if without else inner & named
    return inner if str(node.op) in PICKS else kept


def _combined(node: Any, known: Callable[[str], Labels]) -> Labels:
    left, right = labels_of(node.lhs, known), labels_of(node.rhs, known)
    if is_number(node.lhs):
        return right
    if is_number(node.rhs) or str(node.op) in SET_OPERATIONS:
        return left
    if str(node.op) == "or":
        return left & right  # no other label is certain to be there
    return _matched(left, right, node.modifier)


def _matched(left: Labels, right: Labels, modifier: Any) -> Labels:
    if modifier is None:
        return left
    taken = frozenset(modifier.group_labels or ())
    if modifier.card == promql.VectorMatchCardinality.ManyToOne:
        return left | taken
    if modifier.card == promql.VectorMatchCardinality.OneToMany:
        return right | taken
    if modifier.matching is None:
        return left
    named = frozenset(modifier.matching.labels)
    on = modifier.matching.type == promql.LabelModifierType.Include
    return left & named if on else left - named


def _called(node: Any, known: Callable[[str], Labels]) -> Labels:
    name = node.func.name
    if name in NO_LABELS:
        return frozenset()
    if name in ABSENT:
        (selector, _), *_ = selectors(node)
        return frozenset(one.name for one in matchers(selector) if one.op == promql.MatchOp.Equal)
    inner = next(
        (labels_of(one, known) for one in node.args if not is_number(one)), frozenset[str]()
    )
    if name == "histogram_quantile":
        return inner - {"le"}
    if name in {"label_replace", "label_join"}:
        return inner | {node.args[1].val}
    return inner


def is_number(node: Any) -> bool:
    """Whether it is one number, and no series."""
    match node:
        case promql.NumberLiteral():
            return True
        case promql.Call():
            return node.func.return_type == promql.ValueType.Scalar
        case promql.ParenExpr() | promql.UnaryExpr():
            return is_number(node.expr)
        case promql.BinaryExpr():
            return is_number(node.lhs) and is_number(node.rhs)
    return False


def seconds(duration: str) -> float:
    """A duration as Prometheus writes it, `0s` among them."""
    if not duration.strip("0smhdwy"):
        return 0.0
    return float(promql.parse_duration(duration).total_seconds())
