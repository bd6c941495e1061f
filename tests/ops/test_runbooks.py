"""The runbooks and docs/operating.md: what they name is there, and they are made alike.

That their queries answer is asked of a real stack elsewhere; here is what can be read.
"""

import re

import pytest

from tests.ops.lint import faults
from tests.ops.pages import RUNBOOKS, SETTINGS, Page, events, panels, unknown_commands
from tests.ops.tools import ROOT
from tests.ops.vocabulary import rules

ALERTS = [rule for _, rule in rules("alerts")]
NAMES = sorted({rule["alert"] for rule in ALERTS})
INDEX = Page(RUNBOOKS / "README.md")
OPERATING = Page(ROOT / "docs" / "operating.md")
EACH = [Page(path) for path in sorted(RUNBOOKS.glob("*.md")) if path != INDEX.path]
ALL = [*EACH, INDEX, OPERATING]
SECTIONS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
SHORTEST, LONGEST = 30, 65  # lines: read at night, on a phone


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    """A page about an alert that no longer is leads nobody anywhere."""
    assert [page.path.stem for page in EACH] == NAMES


def test_the_index_names_each_alert_with_its_severities():
    """Whoever reads it at leisure learns what would wake him."""
    rows = re.findall(
        r"^\| \[(\w+)\]\((\w+)\.md\) \| ([a-z, ]+) \| .+ \|$", INDEX.text, re.MULTILINE
    )
    assert all(shown == file for shown, file, _ in rows)
    severities = {
        name: {rule["labels"]["severity"] for rule in ALERTS if rule["alert"] == name}
        for name in NAMES
    }
    assert {name: set(text.split(", ")) for name, _, text in rows} == severities


@pytest.mark.parametrize("page", EACH, ids=str)
def test_a_runbook_has_four_sections_and_a_length_for_the_night(page):
    """The same in each, so that one finds at once what one looks for."""
    assert page.headings == [f"# {page.path.stem}", *SECTIONS]
    assert SHORTEST <= len(page.text.splitlines()) <= LONGEST


@pytest.mark.parametrize("page", EACH, ids=str)
def test_a_runbook_asks_something_and_shows_where_it_is_seen(page):
    """Without a query and a panel it is only talk."""
    assert page.blocks("promql")
    assert page.panels()


@pytest.mark.parametrize("page", ALL, ids=str)
def test_queries_are_sound_and_run_as_they_stand(page):
    """What the linter holds rules to, and nothing to be filled in first."""
    for query in page.blocks("promql"):
        assert "$" not in query
        assert faults(query) == [], query


@pytest.mark.parametrize("page", ALL, ids=str)
def test_settings_have_their_true_names(page):
    """A setting that is none changes nothing, and nobody is told."""
    assert page.settings() <= SETTINGS


@pytest.mark.parametrize("page", ALL, ids=str)
def test_events_are_looked_for_by_their_true_names(page):
    """A grep for an event that nobody logs finds that all is well."""
    assert page.events() <= events()


def test_operating_tells_of_every_event():
    """What stands in the log is explained, and what is explained may stand there."""
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", OPERATING.text, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert events() - told == set()
    assert told - events() == set()


@pytest.mark.parametrize("page", ALL, ids=str)
def test_commands_of_ours_are_there(page):
    """With the options that they are given."""
    assert list(unknown_commands(page)) == []


@pytest.mark.parametrize("page", ALL, ids=str)
def test_panels_have_their_true_titles(page):
    """Who looks for one on a dashboard finds it."""
    assert set(page.panels()) <= panels()


@pytest.mark.parametrize("page", EACH, ids=str)
def test_a_runbook_shows_a_panel_of_the_dashboard_that_its_alert_leads_to(page):
    """Who comes by the alert's other link sees there what the runbook speaks of."""
    linked = {
        rule["annotations"]["dashboard_url"].rpartition("/")[2]
        for rule in ALERTS
        if rule["alert"] == page.path.stem
    }
    named = {f"vitrine-{board.lower()}" for board, _ in page.panels()}
    assert linked <= named


@pytest.mark.parametrize("page", ALL, ids=str)
def test_links_lead_somewhere(page):
    """To a file, and where they name one to a heading in it."""
    for link in page.links():
        file, _, anchor = link.partition("#")
        target = (page.path.parent / file) if file else page.path
        assert target.exists(), link
        assert not anchor or anchor in Page(target).anchors(), link


@pytest.mark.parametrize("page", EACH, ids=str)
def test_steps_and_mitigations_that_are_referred_to_exist(page):
    """They are in the same runbook, or in the one that is linked beside them."""
    text = re.sub(
        r"\[\w+\]\(\w+\.md\), steps? [\d and]+|steps? \d of \[\w+\]\(\w+\.md\)", "", page.prose
    )
    steps = set(re.findall(r"^(\d)\. ", text, re.MULTILINE))
    named = set(re.findall(r"\bstep (\d)\b", text))
    assert named <= steps
    section = text.partition("## Mitigation")[2]
    there = set(re.findall(r"^- ([A-Z]):", section, re.MULTILINE)) | set(
        re.findall(r"\. ([A-Z]): ", section)
    )
    assert set(re.findall(r"\bmitigation ([A-Z])\b", text)) <= there
