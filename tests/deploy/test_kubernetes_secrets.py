"""Secrets on the page for Kubernetes: typed once, changed one by one, and left in no file."""

import base64
import re

import yaml

from tests.deploy.kustomize import FOLDER
from tests.deploy.test_kubernetes_page import PAGE, block, run
from tests.ops.tools import need

VALUES = yaml.safe_load((FOLDER / "kube-prometheus-stack.yaml").read_text())
OLD = {"REDIS_URL": "rediss://:old@broker:6379/0", "ADMIN_TOKEN": "0123456789abcdef"}
NEW = "rediss://:new#%3A: {it}$x@broker:6379/0"  # with what shells and YAML would read


def decoded(secret):
    """Key \u2192 value of a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def test_the_receivers_secret_is_what_alertmanager_reads(tmp_path):
    """Each file that its configuration names, without a line end, and none stays behind."""
    need("kubectl")
    script = block("vitrine-alerting").replace("kubectl create namespace monitoring\n", "")
    script = script.replace(" --from-file", " --dry-run=client -o yaml --from-file")
    said = run(script, tmp_path, typed="key\nhook\nswitch\n", TMPDIR=str(tmp_path))
    secret = yaml.safe_load(said)
    text = yaml.safe_dump(VALUES["alertmanager"]["config"])
    place = "/etc/alertmanager/secrets/" + secret["metadata"]["name"]
    assert set(re.findall(rf"{place}/(\w+)", text)) == set(secret["data"])
    assert list(decoded(secret).values()) == ["switch", "key", "hook"]  # sorted by their names
    assert VALUES["alertmanager"]["alertmanagerSpec"]["secrets"] == [secret["metadata"]["name"]]
    assert not list(tmp_path.iterdir())


def test_one_key_is_changed_and_the_others_stay(tmp_path):
    """Through kubectl itself, on a Secret in a file; the value is no argument of a program."""
    need("kubectl")
    data = {key: base64.b64encode(value.encode()).decode() for key, value in OLD.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "it"}, "data": data}
    (tmp_path / "secret.yaml").write_text(yaml.safe_dump(secret))
    script = block("patch secret").partition("kubectl -n vitrine rollout")[0]
    wanted = "kubectl -n vitrine patch secret vitrine-secrets"
    assert wanted in script
    script = script.replace(wanted, "kubectl patch --local -f secret.yaml -o yaml")
    changed = yaml.safe_load(run(script, tmp_path, typed=NEW + "\n"))
    assert decoded(changed) == OLD
    assert changed["stringData"] == {"REDIS_URL": NEW}  # which the cluster writes into `data`
    assert not [line for line in script.splitlines() if "VALUE" in line and "kubectl" in line]


def test_nothing_needs_a_file_that_the_page_has_deleted():
    """What is made from the environment's file stands before its `rm`."""
    before, _, after = PAGE.partition('rm "$HOME/vitrine.env"')
    assert "vitrine.env" in before
    assert "vitrine.env" not in after


def test_charts_are_pinned():
    """A chart that changes by itself changes the cluster on the day of the next repair."""
    script = block("helm upgrade").replace("\\\n", " ")
    installed = re.findall(r"helm upgrade --install .*", script)
    assert installed
    for line in installed:
        assert re.search(r" --version \d+\.\d+\.\d+ ", line), line
