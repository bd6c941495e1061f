"""The dashboards are what grafana/build makes, and hang together: places, names, links, metrics."""

import re
import subprocess
import sys
from itertools import pairwise

import pytest

from grafana.build import limits
from grafana.build.files import FOLDER, files
from grafana.build.frame import NAMES
from project.observability.metrics import exposed
from tests.ops import panels
from tests.ops.lint import faults
from tests.ops.panels import DASHBOARDS, ROOT, panels_of, targets_of
from tests.ops.promql import labels_of
from tests.ops.vocabulary import labels_known

COLUMNS = 24
MAX_PANELS = 36  # more is a wall of graphs
BOARDS = pytest.mark.parametrize("uid", sorted(DASHBOARDS))
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


@pytest.mark.parametrize("path", sorted(files()), ids=lambda path: path.name)
def test_committed_files_are_what_the_build_makes(path):
    """`python -m grafana.build` writes them; nobody edits them by hand."""
    assert path.read_text() == files()[path]


def test_no_file_stands_beside_those_that_are_made():
    """A dashboard whose module is gone goes with it."""
    assert set(FOLDER.glob("dashboards/*.json")) <= set(files())


def test_the_check_tells_what_differs_and_fails(tmp_path):
    """Continuous integration runs `--check`; it must fail where a file was edited."""
    path = FOLDER / "dashboards" / "vitrine-api.json"
    code = (
        "import sys; from pathlib import Path; from grafana.build import __main__ as main\n"
        f"main.files = lambda: {{Path({str(path)!r}): 'edited\\n'}}\n"
        "sys.argv = ['build', '--check']; sys.exit(main.main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "+edited" in result.stdout
    assert path.read_text() != "edited\n"


def test_there_are_five_and_each_is_named_like_its_file():
    """Alerts and runbooks link to /d/UID: it never changes."""
    assert set(DASHBOARDS) == set(NAMES)
    for uid, dashboard in DASHBOARDS.items():
        assert dashboard["uid"] == uid
        assert dashboard["title"] == f"Vitrine / {NAMES[uid]}"
        assert dashboard["schemaVersion"] == 42


@BOARDS
def test_a_dashboard_is_ready_to_be_read(uid):
    """A question it answers, a window, a refresh, one crosshair over all graphs."""
    dashboard = DASHBOARDS[uid]
    assert dashboard["description"].endswith("?")
    assert dashboard["time"] == {"from": "now-3h", "to": "now"}
    assert dashboard["refresh"] in dashboard["timepicker"]["refresh_intervals"]
    assert dashboard["graphTooltip"] == 1
    assert {one["name"] for one in dashboard["annotations"]["list"]} == {"Deploys", "Alerts"}


@BOARDS
def test_every_link_leads_to_another_dashboard(uid):
    """The other four are one click away, in the same window."""
    links = DASHBOARDS[uid]["links"]
    assert {link["url"] for link in links} == {f"/d/{other}" for other in NAMES if other != uid}
    assert all(link["keepTime"] and link["includeVars"] for link in links)


@BOARDS
def test_panels_fill_the_grid_without_overlap_or_hole(uid):
    """Every cell down to the last row belongs to one panel or heading."""
    places = [panel["gridPos"] for panel in DASHBOARDS[uid]["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert set(cells) == {(x, y) for x in range(COLUMNS) for y in range(max(cells)[1] + 1)}


@BOARDS
def test_ids_and_references_are_unique(uid):
    """The SDK leaves both empty; Grafana mixes up panels without."""
    found = DASHBOARDS[uid]["panels"]
    ids = [panel["id"] for panel in found]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in found if panel["type"] != "row"]
    assert len(set(titles)) == len(titles)
    assert len(titles) <= MAX_PANELS
    for panel in found:
        references = [target["refId"] for target in panel.get("targets", [])]
        assert all(references)
        assert len(set(references)) == len(references)


@BOARDS
def test_objectives_and_alerts_come_first(uid):
    """Who is woken sees at the top whether it matters, and what fires."""
    first, *rest = DASHBOARDS[uid]["panels"]
    assert (first["type"], first["title"]) == ("row", "Objectives and alerts")
    end = next(panel["gridPos"]["y"] for panel in rest if panel["type"] == "row")
    assert any(panel["title"] == "Alerts" and panel["gridPos"]["y"] < end for panel in rest)


@BOARDS
def test_a_description_says_what_is_good_and_what_to_do(uid):
    """At three in the morning nobody remembers what a graph should look like."""
    for panel in panels_of(uid):
        shows, good, bad = panel.model["description"].split("\n\n")
        assert shows.endswith("."), str(panel)
        assert good.startswith("**Good:** "), str(panel)
        assert bad.startswith("**If not:** "), str(panel)


@BOARDS
def test_a_panel_without_data_says_what_that_means(uid):
    """`No data` leaves open whether that is good or bad."""
    for panel in panels_of(uid):
        assert panel.model["fieldConfig"]["defaults"]["noValue"], str(panel)


@BOARDS
def test_thresholds_rise(uid):
    """Grafana takes the last step that is reached."""
    for panel in panels_of(uid):
        steps = panel.model["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["value"] is None, str(panel)
        assert all(one["value"] < other["value"] for one, other in pairwise(steps[1:])), str(panel)


def test_every_metric_stands_on_a_panel():
    """What nobody sees need not be measured."""
    shown = {
        selector.name
        for uid in DASHBOARDS
        for target in targets_of(uid)
        for selector in panels.selectors(target.tree)
    }
    for spec in exposed():
        names = {spec.name + part for part in HISTOGRAM_PARTS}
        assert shown & (names if spec.kind == "histogram" else {spec.name}), spec.name


@BOARDS
def test_no_query_has_a_fault_that_rules_may_not_have(uid):
    """A misspelt name, a job that is not named or a label that is lost is an empty panel."""
    for target in targets_of(uid):
        assert faults(str(target.tree.prettify())) == [], str(target)


@BOARDS
def test_a_legend_shows_labels_that_its_series_have(uid):
    """A label that no series has makes one nameless line of all."""
    for target in targets_of(uid):
        written = set(re.findall(r"\{\{(\w+)\}\}", target.model["legendFormat"]))
        assert written <= labels_of(target.tree, labels_known), str(target)


@BOARDS
def test_the_alerts_shown_are_of_this_service(uid):
    """A central Prometheus holds others' alerts."""
    for target in targets_of(uid):
        for selector in panels.selectors(target.tree):
            if selector.name.startswith("ALERTS"):
                assert "service" in panels.matchers(selector), str(target)


def test_limits_are_those_of_the_alerts():
    """A panel that turns red at another number than the alert argues with the page."""
    alerts = "\n".join(
        path.read_text() for path in sorted((ROOT / "prometheus" / "alerts").glob("*.yml"))
    )
    for number in (
        f"> {limits.BURN_PAGE}",
        f"> {limits.BURN_SLOW_PAGE}\n",
        f"> {limits.BURN_TICKET}\n",
        f"ratio_rate5m > {limits.OVERLOAD_SHARE}",
        "> on (model) group_left () max by (model) (max_over_time(model_slo_seconds{",
        f"> {limits.OLDEST_SECONDS}\n",
        f"> {limits.RETRY_SHARE}\n",
        f"{limits.TIME_LIMIT_SHARE} * max",
        f"> {limits.LAG_SECONDS}\n",
        f"> {limits.MEMORY_SHARE}\n",
        f'method=~"password|refresh|oidc"}}[5m])) > {limits.SIGN_IN_SHARE}\n',
        f"> {limits.DRIFT}\n",
        f">= {limits.DRIFT_SAMPLES}\n",
        f"ratio_rate30m > {limits.LOW_CONFIDENCE_SHARE}",
        f"> {limits.ONE_LABEL_SHARE}\n",
        f"> {limits.SCRAPE_SECONDS}\n",
        *(f"> 2 * {most // 2}\n" for most in limits.SAMPLES.values()),
    ):
        assert number in alerts, number
    rules = "\n".join(
        path.read_text() for path in sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
    )
    for slo, objective in limits.OBJECTIVES.items():
        assert f"expr: vector({objective})\n        labels: {{slo: {slo}}}" in rules
    assert f'le="{limits.LOW_CONFIDENCE}"' in rules
