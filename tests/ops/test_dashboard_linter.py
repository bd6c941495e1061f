"""The rules of grafana/dashboard-linter, executed; exclusions stand in grafana/dashboards/.lint."""

import re

import promql_parser
import pytest
import yaml

from tests.ops import panels
from tests.ops.panels import DASHBOARDS, FOLDER, panels_of, targets_of
from tests.ops.promql import walk

BOARDS = pytest.mark.parametrize("uid", sorted(DASHBOARDS))
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {
    *("short", "none", "string", "percentunit", "s", "ms", "bytes", "decbytes", "reqps", "ops"),
    "dateTimeFromNow",
}
EXCLUDED = yaml.safe_load((FOLDER / ".lint").read_text())["exclusions"]
CHOICES = {  # who has which variables beside the data source
    "vitrine-overview": set(),
    "vitrine-api": {"instance", "handler"},
    "vitrine-inference": {"instance", "model"},
    "vitrine-jobs": {"instance", "model"},
    "vitrine-runtime": {"instance"},
}


def variables(uid):
    return {one["name"]: one for one in DASHBOARDS[uid]["templating"]["list"]}


def test_an_exclusion_has_a_reason():
    """Whoever comes later must be able to judge whether it still holds."""
    assert all(len(rule["reason"]) > 40 for rule in EXCLUDED.values())


@BOARDS
def test_template_datasource_rule(uid):
    """One variable chooses the Prometheus, under the name that the linter knows."""
    source = variables(uid)["datasource"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert source["label"] == "Data source"


@BOARDS
def test_template_instance_rule(uid):
    """Instances, models and handlers can be chosen: several, or all."""
    found = variables(uid)
    assert set(found) - {"datasource"} == CHOICES[uid]
    for name in CHOICES[uid]:
        assert found[name]["datasource"] == SOURCE
        assert found[name]["label"] == name.capitalize()
        assert found[name]["multi"]
        assert found[name]["includeAll"]
        assert found[name]["allValue"] == ".+"


@BOARDS
def test_template_on_time_change_reload_rule(uid):
    """An instance of last night can be chosen when looking at last night."""
    for one in variables(uid).values():
        if one["type"] == "query":
            assert one["refresh"] == 2


@BOARDS
def test_template_label_promql_rule(uid):
    """Values come from `label_values` of a selector that parses, on metrics that exist."""
    for name, one in variables(uid).items():
        if one["type"] != "query":
            continue
        asked = re.fullmatch(rf"label_values\((.+), {name}\)", one["query"])
        assert asked, one["query"]
        (selector,) = panels.selectors(panels.parsed(asked[1]))
        assert selector.name == "up" or name in panels.series()[selector.name]


@BOARDS
def test_uneditable_dashboard(uid):
    """What is edited in the browser is lost with the next release."""
    assert DASHBOARDS[uid]["editable"] is False


@BOARDS
def test_panel_datasource_rule(uid):
    """No uid of somebody's Grafana is written down."""
    for panel in panels_of(uid):
        assert panel.model["datasource"] == SOURCE, str(panel)
        assert all(target["datasource"] == SOURCE for target in panel.model["targets"]), str(panel)


@BOARDS
def test_annotations_use_the_templated_data_source(uid):
    """And their queries parse, on metrics that exist."""
    for one in DASHBOARDS[uid]["annotations"]["list"]:
        assert one["datasource"] == SOURCE
        names = {selector.name for selector in panels.selectors(panels.parsed(one["expr"]))}
        assert names <= {"ALERTS", "app_info"}


@BOARDS
def test_panel_title_description_rule(uid):
    """Every panel says what it is."""
    for panel in panels_of(uid):
        assert panel.model["title"], str(panel)
        assert panel.model["description"], str(panel)


@BOARDS
def test_panel_units_rule(uid):
    """A number without a unit is a guess."""
    for panel in panels_of(uid):
        config = panel.model["fieldConfig"]
        given = {config["defaults"]["unit"]} | {
            one["value"]
            for override in config["overrides"]
            for one in override["properties"]
            if one["id"] == "unit"
        }
        assert given <= UNITS, str(panel)


@BOARDS
def test_panel_no_targets_rule(uid):
    """No panel without a query, no query without an expression."""
    for panel in panels_of(uid):
        assert panel.model["targets"], str(panel)
        assert all(target["expr"].strip() for target in panel.model["targets"]), str(panel)


@BOARDS
def test_target_promql_rule(uid):
    """Every expression parses once its variables are filled in."""
    for target in targets_of(uid):
        assert target.tree.prettify(), str(target)


@BOARDS
def test_target_rate_interval_rule(uid):
    """A fixed window under rate() has gaps where the step is longer, or fewer than two samples."""
    for target in targets_of(uid):
        for node, parents in walk(target.tree):
            if isinstance(node, promql_parser.MatrixSelector):
                window = f"{int(node.range.total_seconds())}s"
                assert parents, str(target)
                if parents[-1].func.name in {"rate", "irate"}:
                    assert window == panels.RATE_INTERVAL, str(target)


@BOARDS
def test_target_counter_agg_rule(uid):
    """A counter means nothing but by what it gains."""
    for target in targets_of(uid):
        for node, parents in walk(target.tree):
            if isinstance(node, promql_parser.VectorSelector) and re.search(
                r"(_total|_bucket|_sum|_count)$", node.name
            ):
                assert isinstance(parents[-1], promql_parser.MatrixSelector), str(target)
                assert parents[-2].func.name in {"rate", "irate", "increase"}, str(target)


@BOARDS
def test_target_instance_rule(uid):
    """Where instances can be chosen, panels of processes follow; the queue is one for all."""
    if "instance" not in CHOICES[uid]:
        return
    for target in targets_of(uid):
        for selector in panels.selectors(target.tree):
            if selector.name in panels.series() and not selector.name.startswith("jobs_"):
                assert panels.matchers(selector).get("instance") == ".+", f"{target}: {selector}"
