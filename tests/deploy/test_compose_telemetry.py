"""Loki, Tempo and Alloy of compose.yaml: what each reads fits the others, and is bounded."""

import re

import yaml

from tests.deploy.compose import FOLDER, config, services
from tests.ops.tools import ROOT

LOKI = yaml.safe_load((FOLDER / "loki/loki.yaml").read_text())
TEMPO = yaml.safe_load((FOLDER / "tempo/tempo.yaml").read_text())
ALLOY = (FOLDER / "alloy/config.alloy").read_text()
EXAMPLE = (FOLDER / ".env.example").read_text()


def values(name):
    """The data source's address, as Grafana has it."""
    return services()["grafana"]["environment"][name]


def within(path, name):
    """Whether a path is in one of the named volumes of a service."""
    mounts = [volume.split(":") for volume in services()[name]["volumes"]]
    return any(path.startswith(mount[1]) for mount in mounts if mount[0] in config()["volumes"])


def test_loki_deletes_what_is_old():
    """Without the compactor's word nothing ever goes; the period of its index has to be a day."""
    assert LOKI["compactor"]["retention_enabled"] is True
    assert LOKI["compactor"]["delete_request_store"] == "filesystem"
    assert LOKI["limits_config"]["retention_period"].endswith("h")
    (schema,) = LOKI["schema_config"]["configs"]
    assert (schema["store"], schema["schema"], schema["index"]["period"]) == ("tsdb", "v13", "24h")


def test_loki_and_tempo_write_into_their_volumes():
    """All else of theirs is read-only."""
    assert within(LOKI["common"]["path_prefix"], "loki")
    assert within(LOKI["compactor"]["working_directory"], "loki")
    for path in LOKI["common"]["storage"]["filesystem"].values():
        assert within(path, "loki")
    storage = TEMPO["storage"]["trace"]
    for kind in ("wal", "local"):
        assert within(storage[kind]["path"], "tempo")


def test_tempo_deletes_what_is_old():
    """After a week, as Loki does: a line's trace is there as long as the line."""
    assert (
        TEMPO["backend_worker"]["compaction"]["block_retention"]
        == (LOKI["limits_config"]["retention_period"])
    )


def test_ports_are_those_that_others_ask():
    """Grafana, Alloy, and the processes that send traces."""
    loki, tempo = LOKI["server"]["http_listen_port"], TEMPO["server"]["http_listen_port"]
    assert values("LOKI_URL") == f"http://loki:{loki}"
    assert values("TEMPO_URL") == f"http://tempo:{tempo}"
    assert f'url = "http://loki:{loki}/loki/api/v1/push"' in ALLOY
    receiver = TEMPO["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert f"http://tempo:{receiver.rpartition(':')[2]}." in EXAMPLE


def test_they_report_to_nobody():
    """What runs here is nobody's business."""
    assert LOKI["analytics"]["reporting_enabled"] is False
    assert TEMPO["usage_report"]["reporting_enabled"] is False
    assert "--disable-reporting" in services()["alloy"]["command"]


def test_alloys_blocks_are_closed_and_feed_each_other():
    """Each reference is to a component that is there, and each component is used."""
    plain = re.sub(r'//[^\n]*|"(\\.|[^"\\])*"', '""', ALLOY)
    assert plain.count("{") == plain.count("}")
    assert plain.count("[") == plain.count("]")
    made = set(re.findall(r'^([a-z.]+) "([a-z_]+)" \{$', ALLOY, re.MULTILINE))
    components = {f"{kind}.{label}" for kind, label in made}
    named = re.findall(r"= \[?([a-z_.]+)\.(?:targets|output|receiver)\]?$", ALLOY, re.MULTILINE)
    assert set(named) == components - {"loki.source.docker.containers"}  # the only one that begins


def test_alloy_reads_this_projects_containers_through_the_proxy():
    """Others on this machine are none of its business."""
    name = config()["name"]
    assert f'values = ["com.docker.compose.project={name}"]' in ALLOY
    assert set(re.findall(r"tcp://([a-z-]+):2375", ALLOY)) == {"socket-proxy"}
    assert "-allowfrom=alloy" in services()["socket-proxy"]["command"]
    assert set(services()["alloy"]["networks"]) == {"default", "socket"}


def test_labels_of_lines_are_those_that_grafana_asks_for():
    """Few, closed, and named as Prometheus names them."""
    for source in ("loki", "tempo"):
        text = (ROOT / f"grafana/provisioning/datasources/{source}.yml").read_text()
        assert '{job=~"vitrine.*"}' in text
    assert 'replacement   = "vitrine-$1"' in ALLOY
    assert 'regex         = "(api|worker)"' in ALLOY
    labels = set(re.findall(r'target_label  = "(\w+)"', ALLOY))
    assert labels == {"job", "instance"}
    assert "trace_id" not in re.sub(r"//[^\n]*", "", ALLOY)


def test_the_stages_are_those_of_the_agents_file():
    """Time, severity and logger, as config.alloy has them for a file."""
    for stage in ("stage.json", "stage.timestamp", "stage.labels"):
        here, there = (
            re.sub(r"\s+", " ", _block(text, stage))
            for text in (ALLOY, (ROOT / "config.alloy").read_text())
        )
        assert here == there


def _block(text, name):
    """From a block's name to the brace that closes it."""
    start = text.index(f"{name} {{")
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if text[place] == "}" and not depth:
            return text[start : place + 1]
    raise AssertionError(f"{name} is not closed")
