"""Time that runs faster: what is a duration is divided, and nothing else is touched."""

import re
from datetime import timedelta

import promql_parser
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drills.scaled import MILLISECONDS, duration, promql, scaled
from project.local_stack.configs import SHIPPED
from tests.ops.promql import walk

RULES = sorted([*SHIPPED.glob("rules/*.yml"), *SHIPPED.glob("alerts/*.yml")])
FACTOR = 60
UNITS = st.sampled_from(["ms", "s", "m", "h", "d", "w", "y"])
WRITTEN = st.builds(lambda number, unit: f"{number}{unit}", st.integers(1, 500), UNITS)
NAMES = st.sampled_from(["x", "slo:sli_errors:rate5m", "offset_5m", "a1h", ":h5m", "by5m"])
# What must survive to the letter, wherever a lexer could be led astray.
VALUES = st.sampled_from(["[5m]", "offset 5m", "5m", "# [5m]", "]", "x[1h:5m]", r"\\[1h]"])


def milliseconds(text: str) -> int:
    (number, unit) = (text.rstrip("mshdwy"), text.lstrip("0123456789"))
    return int(number) * MILLISECONDS[unit]


SELECTORS = st.builds(
    lambda name, text, quote: f"{name}{{le='0.5',text={quote}{text}{quote}}}",
    NAMES,
    VALUES,
    st.sampled_from(["'", '"', "`"]),
)


WRAPPERS = st.sampled_from(
    ["({}) > 300", "({}) * 0x5d", "sum by (offset, le) ({})", "({}) # [5m] offset 5m\n + 1e5"]
)


@st.composite
def expressions(draw, depth: int = 3) -> tuple[str, str]:
    """An expression, and the same with each duration a sixtieth as long."""
    kinds = ["plain", "offset", "range"] if depth == 0 else ["wrapped", "subquery", "both"]
    kind = draw(st.sampled_from(kinds))
    shape = draw(SELECTORS).replace("{", "{{").replace("}", "}}")
    parts: list[tuple[str, str]] = []
    if kind == "offset":
        shape += draw(st.sampled_from([" offset {}", " OFFSET -{}", " offset # 5m ]\n{}"]))
    elif kind == "range":
        shape = f"rate({shape}[{{}}])"
    elif kind != "plain":
        parts = [draw(expressions(depth - 1)) for _ in range(1 + (kind == "both"))]
        shapes = {"subquery": "max_over_time(({})[{}:{}])", "both": "({}) or ({})"}
        shape = shapes.get(kind) or draw(WRAPPERS)
    windows = [draw(WRITTEN) for _ in range(shape.count("{}") - len(parts))]
    old = [*(before for before, _ in parts), *windows]
    new = [*(after for _, after in parts), *(duration(it, FACTOR) for it in windows)]
    return shape.format(*old), shape.format(*new)


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("5m", "5s"),
        ("1h", "1m"),
        ("15s", "250ms"),
        ("50s", "833ms"),
        ("1h30m", "90s"),
        ("30d", "12h"),
        ("1ms", "1ms"),
        ("0s", "0s"),
        ("0", "0s"),
    ],
)
def test_a_duration_is_divided_to_the_millisecond(text, shorter):
    """What is more than nothing stays so; nothing stays nothing."""
    assert duration(text, FACTOR) == shorter


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5x", "-5m", "1.5h", "5m "])
def test_what_is_no_duration_is_refused(text):
    """A slip in a file is not to be passed on."""
    with pytest.raises(ValueError, match="no duration"):
        duration(text, FACTOR)


@given(WRITTEN)
def test_a_duration_divided_and_multiplied_is_the_same_length(text):
    """Where milliseconds hold it."""
    back = duration(duration(text, 1 / FACTOR), FACTOR)
    assert milliseconds(back) == milliseconds(text)
    assert duration(back, 1) == back


@given(expressions())
def test_the_durations_of_an_expression_are_divided_and_nothing_else(pair):
    """Not in strings, names, comments or numbers; what was valid PromQL still is."""
    old, new = pair
    promql_parser.parse(old)
    promql_parser.parse(new)
    assert promql(old, FACTOR) == new
    assert promql(old, 1).count("offset") == old.count("offset")


def spans(expr: str) -> list[timedelta]:
    """Every duration of an expression, by its syntax tree."""
    return [
        value
        for node, _ in walk(promql_parser.parse(expr))
        for name in ("range", "step", "offset")
        if isinstance(value := getattr(node, name, None), timedelta)
    ]


@pytest.mark.parametrize("path", RULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_shipped_rule_is_divided_as_its_syntax_tree_says(path):
    """By 60: every window is a whole number of milliseconds still, so none is off."""
    shipped = yaml.safe_load(path.read_text())["groups"]
    faster = scaled(yaml.safe_load(path.read_text()), FACTOR)["groups"]
    for old, new in zip(shipped, faster, strict=True):
        assert duration(old.get("interval", "0"), FACTOR) == new.get("interval", "0s")
        for rule, quick in zip(old["rules"], new["rules"], strict=True):
            assert [it / FACTOR for it in spans(rule["expr"])] == spans(quick["expr"])
            assert duration(rule.get("for", "0"), FACTOR) == quick.get("for", "0s")
            untimed = rule.keys() - {"expr", "for", "annotations"}
            assert rule.keys() == quick.keys()
            assert all(rule[key] == quick[key] for key in untimed)
            assert_texts_ask_faster(rule.get("annotations", {}), quick.get("annotations", {}))


QUERY = re.compile(r'query "([^"]+)"')


def assert_texts_ask_faster(shipped, faster):
    """The windows of the queries in them are divided as well; the words are the same."""
    for name, text in shipped.items():
        assert QUERY.sub("", text) == QUERY.sub("", faster[name])
        for old, new in zip(QUERY.findall(text), QUERY.findall(faster[name]), strict=True):
            assert [it / FACTOR for it in spans(old)] == spans(new)


def test_routes_and_scrapes_are_divided_and_labels_are_not():
    """A label may have the name of a duration."""
    document = {
        "global": {"scrape_interval": "15s", "external_labels": {"interval": "15s"}},
        "route": {"group_wait": "0s", "routes": [{"repeat_interval": "4h", "receiver": "5m"}]},
    }
    assert scaled(document, FACTOR) == {
        "global": {"scrape_interval": "250ms", "external_labels": {"interval": "15s"}},
        "route": {"group_wait": "0s", "routes": [{"repeat_interval": "4m", "receiver": "5m"}]},
    }


def test_a_query_within_an_annotation_looks_back_as_far_as_its_rule():
    """What a person is told of 5 minutes is no duration that anything waits for."""
    text = "For 5m {{ with query \"rate(x{a='1m'}[5m])\" }}{{ . | first | value }}{{ end }}"
    rules = {"rules": [{"expr": "x", "annotations": {"description": text}}]}
    (rule,) = scaled(rules, FACTOR)["rules"]
    assert rule["annotations"]["description"] == text.replace("[5m]", "[5s]")
