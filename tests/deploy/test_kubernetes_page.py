"""The commands of the page for Kubernetes, run without a cluster: images, secrets, identities."""

import base64
import json
import re
import shutil

import pytest
import yaml

from tests.deploy import command
from tests.deploy.kustomize import (
    FOLDER,
    PRODUCTION,
    container_of,
    environment,
    find,
    need_components,
    of_kind,
    pod_of,
    rendered,
)
from tests.deploy.vm_files import load
from tests.ops.lint import faults
from tests.ops.tools import ROOT, need, output

PATH = "/usr/local/bin:/usr/bin:/bin"
PAGE = (FOLDER / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FAKE_CLOUDS = """
aws() {
  case "$*" in
    *oidc.issuer*) echo https://oidc.example.com/id/1 ;;
    *get-caller*) echo 111122223333 ;;
    *get-role*) echo arn:aws:iam::111122223333:role/vitrine ;;
    *) printf '%s\\0' aws "$@" --- ;;
  esac
}
gcloud() { printf '%s\\0' gcloud "$@" ---; }
az() { case "$*" in *show*) echo value ;; *) printf '%s\\0' az "$@" --- ;; esac; }
"""
OLD = {"REDIS_URL": "rediss://:old@broker:6379/0", "TOKEN_KEYS": "one:0123456789abcdef"}
NEW = "rediss://:new#%3A: {it}$x@broker:6379/0"  # with characters of the shell and of YAML


def run(script, folder, stdin="", **variables):
    environment = {"PATH": PATH, "HOME": str(folder), **variables}
    script = f"set -euo pipefail\n{script}"
    done = command.run("bash", "-c", script, cwd=folder, env=environment, input=stdin)
    assert done.returncode == 0, done.stderr
    return done


def block(*words):
    (found,) = [it for it in BLOCKS if all(word in it for word in words)]
    return found


def decoded(secret):
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def test_image_and_host_are_set_in_the_overlay(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / PRODUCTION
    script = block("newName").replace("cd deploy/kubernetes/", "cd kubernetes/")
    done = command.run("bash", "-c", script, cwd=tmp_path, env={"PATH": PATH})
    assert "parameter null or not set" in done.stderr
    for file in ("kustomization.yaml", "host.yaml"):
        assert (overlay / file).read_text() == (FOLDER / PRODUCTION / file).read_text()
    values = {"IMAGE": "ghcr.io/team/vitrine", "HOST_NAME": "photos.test", "REVISION": "1234567"}
    run(script, tmp_path, **values)
    (image,) = load(overlay / "kustomization.yaml")["images"]
    assert (image["newName"], image["newTag"]) == ("ghcr.io/team/vitrine", "1234567")
    for deployment in of_kind(rendered("base"), "Deployment"):
        assert container_of(deployment)["image"].rpartition(":")[0] == image["name"]
    host = load(overlay / "host.yaml")["spec"]
    assert host["rules"][0]["host"] == host["tls"][0]["hosts"][0] == "photos.test"
    assert not list(overlay.glob("*.bak"))


def test_every_dashboard_becomes_a_labelled_config_map():
    need("kubectl")
    loop = block("grafana/dashboards/*.json").partition("done\n")[0] + "done\n"
    script = loop.replace("kubectl apply --server-side -f -", "cat; echo ---")
    maps = [it for it in yaml.safe_load_all(run(script, ROOT).stdout) if it]
    names = {path.name for path in (ROOT / "grafana/dashboards").glob("*.json")}
    assert {name for it in maps for name in it["data"]} == names
    for found in maps:
        assert found["metadata"]["labels"] == {"grafana_dashboard": "1"}
        assert len(json.dumps(found)) < 2**20


def test_the_secret_has_the_keys_that_pods_need(tmp_path):
    need("kubectl")
    script = block("openssl").split('"${EDITOR')[0].partition("\n")[2]
    (create,) = re.findall(r"^kubectl .*--from-env-file.*$", block("openssl"), re.MULTILINE)
    made = run(f"{script}\n{create} --dry-run=client -o yaml", tmp_path).stdout
    secret = yaml.safe_load(made)
    references = [
        variable["valueFrom"]["secretKeyRef"]
        for deployment in of_kind(rendered("base"), "Deployment")
        for variable in container_of(deployment)["env"]
    ]
    assert {one["name"] for one in references} == {secret["metadata"]["name"]}
    required = {one["key"] for one in references if not one.get("optional")}
    assert required <= set(secret["data"]) <= {one["key"] for one in references}


def test_the_receivers_secret_is_the_one_that_alertmanager_reads(tmp_path):
    """Each file of its configuration, without a line end; none is left on this machine."""
    need("kubectl")
    script = block("vitrine-alerting").replace("kubectl create namespace monitoring\n", "")
    script = script.replace(" --from-file", " --dry-run=client -o yaml --from-file")
    done = run(script, tmp_path, "key\nhook\nswitch\n", TMPDIR=str(tmp_path))
    secret = yaml.safe_load(done.stdout)
    chart = load(FOLDER / "kube-prometheus-stack.yaml")["alertmanager"]
    name = secret["metadata"]["name"]
    paths = re.findall(rf"/etc/alertmanager/secrets/{name}/(\w+)", yaml.safe_dump(chart["config"]))
    assert set(paths) == set(secret["data"])
    assert sorted(decoded(secret).values()) == ["hook", "key", "switch"]
    assert chart["alertmanagerSpec"]["secrets"] == [name]
    assert not list(tmp_path.iterdir())


def test_one_key_of_the_secret_is_changed_and_the_others_stay(tmp_path):
    """By kubectl itself, on a Secret in a file; the value is no argument of a program."""
    need("kubectl")
    data = {key: base64.b64encode(value.encode()).decode() for key, value in OLD.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "it"}, "data": data}
    (tmp_path / "secret.yaml").write_text(yaml.safe_dump(secret))
    script = block("patch secret").partition("kubectl -n vitrine rollout")[0]
    patch = "kubectl -n vitrine patch secret vitrine-secrets"
    assert patch in script
    assert not [line for line in script.splitlines() if "VALUE" in line and "kubectl" in line]
    script = script.replace(patch, "kubectl patch --local -f secret.yaml -o yaml")
    changed = yaml.safe_load(run(script, tmp_path, NEW + "\n").stdout)
    assert decoded(changed) == OLD
    assert changed["stringData"] == {"REDIS_URL": NEW}  # which the cluster writes into `data`


def test_a_queue_gets_workers_of_its_own(tmp_path):
    """Beside the others, with the same settings and identity, and scaled by that queue alone."""
    need_components()
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    run(block("JOB_QUEUES").replace("cd deploy/kubernetes/", "cd kubernetes/"), tmp_path)
    file = tmp_path / "kubernetes" / PRODUCTION / "kustomization.yaml"
    overlay = load(file)
    overlay["resources"] += ["text-to-image", "text-to-image/scaling.yaml"]
    file.write_text(yaml.safe_dump(overlay))
    objects = [*yaml.safe_load_all(output(need("kubectl"), "kustomize", str(file.parent)))]
    shared, own = [
        find(objects, "Deployment", f"vitrine-worker{suffix}") for suffix in ("", "-text-to-image")
    ]
    assert own["spec"]["selector"] != shared["spec"]["selector"]
    shared_variables, variables = [environment(objects, each) for each in (shared, own)]
    assert variables == shared_variables | {"JOB_QUEUES": "text_to_image"}
    for name in ("serviceAccountName", "terminationGracePeriodSeconds"):
        assert pod_of(own)[name] == pod_of(shared)[name]
    scaler = find(objects, "ScaledObject", "vitrine-worker-text-to-image")["spec"]
    assert scaler["scaleTargetRef"]["name"] == own["metadata"]["name"]
    assert "replicas" not in own["spec"]
    for trigger in scaler["triggers"]:
        query = trigger["metadata"]["query"]
        assert faults(query) == []
        assert '{job="vitrine-worker",queue="text_to_image"' in query


def test_a_release_applies_the_workers_before_the_api():
    """The selector of the first apply leaves the API out and the settings in."""
    release = block("docker push", "rollout status")
    first, workers, second, api = re.findall(
        r"kubectl apply.*|rollout status deployment/[\w-]+", release
    )
    assert (workers.split("-")[-1], api.split("-")[-1]) == ("worker", "api")
    assert " -l " not in second
    label, value = re.search(r"-l '([\w./]+)!=(\w+)'", first).groups()
    left_out = [
        it for it in rendered(PRODUCTION) if it["metadata"].get("labels", {}).get(label) == value
    ]
    assert {"vitrine-api"} <= {it["metadata"]["name"] for it in left_out}
    assert not {"ConfigMap", "Namespace"} & {it["kind"] for it in left_out}
    assert not [it for it in left_out if "worker" in it["metadata"]["name"]]
    undone = re.findall(r"rollout undo deployment/([\w-]+)", block("rollout undo"))
    assert undone == ["vitrine-api", "vitrine-worker"]  # old workers do not know a new API's jobs


@pytest.mark.parametrize(
    ("words", "policies"),
    [
        ("create-open-id-connect-provider", 1),
        ("create-pod-identity-association", 1),
        ("iam.workloadIdentityUser", 0),
        ("federated-credential", 0),
        ("put-role-policy", 1),
    ],
)
def test_both_service_accounts_get_the_identity_of_each_cloud(words, policies):
    """The blocks run with fake command lines; every policy is valid JSON."""
    calls = run(FAKE_CLOUDS + block(words), ROOT).stdout.split("---\0")[:-1]
    arguments = [argument for call in calls for argument in call.split("\0")]
    documents = [json.loads(one) for one in arguments if one.startswith("{")]
    assert len(documents) == policies
    if words == "put-role-policy":
        resources = {one["Resource"] for one in documents[0]["Statement"]}
        assert resources == {"arn:aws:s3:::BUCKET/*", "arn:aws:s3:::BUCKET"}
        return
    text = json.dumps(arguments)
    if words == "create-pod-identity-association":
        found = re.findall(r'--namespace", "([\w-]+)", "--service-account", "([\w-]+)', text)
    else:
        found = re.findall(r"(?:serviceaccount:|\[)([\w-]+)[:/](vitrine-[\w-]+)", text)
    accounts = of_kind(rendered(PRODUCTION), "ServiceAccount")
    assert set(found) == {(it["metadata"]["namespace"], it["metadata"]["name"]) for it in accounts}
    if documents and "Condition" in documents[0]["Statement"][0]:  # of this cluster alone
        equals = documents[0]["Statement"][0]["Condition"]["StringEquals"]
        assert equals["oidc.example.com/id/1:aud"] == "sts.amazonaws.com"
