"""config.alloy: every reference names a component that is there, and it says what the Agent's says.

Alloy itself would see more; without it, this is what a mistyped name would break.
"""

import re

import pytest
import yaml

from tests.ops.tools import ROOT

TEXT = (ROOT / "config.alloy").read_text()
CODE = re.sub(r"(^|\s)//.*", "", TEXT)
AGENT = (ROOT / "agent-config.yaml").read_text()

# What each component that we use exports, by its page in
# grafana.com/docs/alloy/latest/reference/components/
EXPORTS = {
    "prometheus.scrape": set(),
    "prometheus.remote_write": {"receiver"},
    "local.file_match": {"targets"},
    "loki.source.file": set(),
    "loki.process": {"receiver"},
    "loki.write": {"receiver"},
    "otelcol.receiver.otlp": set(),
    "otelcol.processor.batch": {"input"},
    "local.file": {"content"},
    "otelcol.auth.basic": {"handler"},
    "otelcol.exporter.otlp": {"input"},
}
COMPONENTS = re.findall(r'^([a-z_.]+) "(\w+)" \{$', CODE, re.MULTILINE)
REFERENCES = re.findall(r"\b((?:prometheus|loki|local|otelcol)\.[\w.]+)(?=[\],\s])", CODE)
USED = [name for name in REFERENCES if not re.search(rf'^{name} "', CODE, re.MULTILINE)]


def test_components_are_known_and_each_there_once():
    """A component is its kind and its label."""
    assert {kind for kind, _ in COMPONENTS} == set(EXPORTS)
    assert len(set(COMPONENTS)) == len(COMPONENTS)


@pytest.mark.parametrize("reference", sorted(set(USED)))
def test_a_reference_names_what_a_component_exports(reference):
    """Alloy would refuse the whole file otherwise."""
    kind, label, export = reference.rsplit(".", 2)
    assert (kind, label) in COMPONENTS
    assert export in EXPORTS[kind]


def test_whatever_is_passed_on_is_taken():
    """A component that exports something and that nobody names does nothing."""
    taken = {tuple(reference.rsplit(".", 2)[:2]) for reference in USED}
    assert {(kind, label) for kind, label in COMPONENTS if EXPORTS[kind]} == taken


def test_brackets_are_closed():
    """In the order in which they were opened."""
    opened = []
    for sign in re.sub(r'"[^"]*"', '""', CODE):
        if sign in "{[(":
            opened.append(sign)
        elif sign in "}])":
            assert opened.pop() + sign in {"{}", "[]", "()"}
    assert opened == []


def test_it_says_what_the_agents_file_says():
    """The same addresses, files, names and intervals, so that either may be run."""
    said = set(re.findall(r'"([^"]*)"', CODE))
    agent = set(words(yaml.safe_load(AGENT)))
    theirs = {  # named by each in its own way
        "/var/lib/grafana-agent/wal",
        "/var/lib/grafana-agent/positions",
        "vitrine-1",
        "localhost",
        "1000",
    }
    assert agent - theirs <= said
    ours = said - agent
    assert ours <= {label for _, label in COMPONENTS}


def words(value: object) -> list[str]:
    """All values, however deep; keys are each language's own."""
    if isinstance(value, dict):
        return [word for item in value.values() for word in words(item)]
    if isinstance(value, list):
        return [word for item in value for word in words(item)]
    return [] if value is None else [str(value)]
