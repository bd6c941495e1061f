"""The page for Kubernetes: what it names is there, and what it has one run does what it says."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from project.settings import Settings
from tests.deploy.environment import OTHERS
from tests.deploy.kustomize import FOLDER, container_of, of_kind, pod_of, rendered
from tests.ops.tools import ROOT, need

PATH = "/usr/local/bin:/usr/bin:/bin"
PAGE = (FOLDER / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(script, folder, typed="", **variables):
    """What a script of the page prints, run somewhere; fails where it fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": PATH, "HOME": str(folder), **variables},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def block(*words):
    """The one block of commands with all these words."""
    (found,) = [it for it in BLOCKS if all(word in it for word in words)]
    return found


def test_every_path_on_the_page_is_there():
    """Of the repository, of this folder, and of the overlay."""
    for path in re.findall(r"\b(?:deploy|grafana|prometheus)/[\w./-]*\w/?", PAGE):
        assert (ROOT / path).exists() or "example" in path, path
    for path in re.findall(r"`((?:base|components|overlays)/[\w./-]+)`", PAGE):
        assert (FOLDER / path).exists(), path
    for path in re.findall(r"`([\w-]+\.yaml)`", PAGE):
        assert list(FOLDER.rglob(path)), path


def test_every_component_is_on_the_page():
    """One that nobody knows of is one that nobody chooses."""
    for folder in (FOLDER / "components").iterdir():
        assert f"| `components/{folder.name}/` |" in PAGE


def test_setting_image_and_host_changes_what_is_rendered(tmp_path):
    """The commands of step 2, in a copy: nothing of the examples is left."""
    script = block("newName").replace("cd deploy/kubernetes/", "cd kubernetes/")
    run(
        f"cp -r {FOLDER} kubernetes\n{script}",
        tmp_path,
        IMAGE="ghcr.io/team/vitrine",
        HOST_NAME="photos.test",
        REVISION="1234567",  # a number, unless it is quoted
    )
    overlay = tmp_path / "kubernetes/overlays/production"
    made = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    assert made["images"][0]["newName"] == "ghcr.io/team/vitrine"
    assert made["images"][0]["newTag"] == "1234567"
    host = yaml.safe_load((overlay / "host.yaml").read_text())["spec"]
    assert host["rules"][0]["host"] == host["tls"][0]["hosts"][0] == "photos.test"
    assert not list(overlay.glob("*.bak"))


def test_the_image_that_is_set_is_the_image_that_runs():
    """`images` names what stands in the base."""
    made = yaml.safe_load((FOLDER / "overlays/production/kustomization.yaml").read_text())
    (image,) = made["images"]
    for deployment in of_kind(rendered("base"), "Deployment"):
        assert container_of(deployment)["image"].rpartition(":")[0] == image["name"]


def test_the_dashboards_command_makes_one_labelled_map_of_each(tmp_path):
    """Everything of it but the cluster; a map may hold a megabyte."""
    need("kubectl")
    loop = block("grafana/dashboards/*.json").partition("done\n")[0] + "done\n"
    script = loop.replace("kubectl apply --server-side -f -", "cat; echo ---")
    maps = [it for it in yaml.safe_load_all(run(script, ROOT)) if it]
    names = {path.name for path in (ROOT / "grafana/dashboards").glob("*.json")}
    assert {name for it in maps for name in it["data"]} == names
    for found in maps:
        assert found["metadata"]["labels"] == {"grafana_dashboard": "1"}
        assert found["metadata"]["namespace"] == "monitoring"
        assert len(json.dumps(found)) < 2**20


def test_the_secret_has_the_keys_that_pods_read(tmp_path):
    """The example's file, through kubectl itself; and those that the page says may stand there."""
    script = block("openssl").split('"${EDITOR')[0].partition("\n")[2]
    made = (
        "kubectl -n vitrine create secret generic vitrine-secrets "
        '--from-env-file="$HOME/vitrine.env" --dry-run=client -o yaml'
    )
    need("kubectl")
    secret = yaml.safe_load(run(f"{script}\n{made}", tmp_path))
    read = {
        variable["valueFrom"]["secretKeyRef"]["key"]: variable["valueFrom"]["secretKeyRef"]
        for deployment in of_kind(rendered("base"), "Deployment")
        for variable in container_of(deployment)["env"]
    }
    assert {reference["name"] for reference in read.values()} == {secret["metadata"]["name"]}
    demanded = {key for key, reference in read.items() if not reference.get("optional")}
    assert demanded <= set(secret["data"]) <= set(read)
    assert all(f"`{key}`" in PAGE for key in set(read) - set(secret["data"]))


def test_settings_on_the_page_are_settings():
    """Renamed in the program, they are to be renamed here."""
    known = {name.upper() for name in Settings.model_fields} | OTHERS | {"LINKS", "LABELS"}
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", PAGE))
    assert named
    assert named <= known | {"YOUR_STORE"}


def test_the_seconds_of_an_end_are_those_of_the_manifests():
    """preStop, the delay, the time to finish: the page tells them in words."""
    (api,) = [
        it
        for it in of_kind(rendered("base"), "Deployment")
        if it["metadata"]["name"] == "vitrine-api"
    ]
    pause = container_of(api)["lifecycle"]["preStop"]["exec"]["command"][1]
    (settings,) = of_kind(rendered("base"), "ConfigMap")
    finish = settings["data"]["GRACEFUL_TIMEOUT_SECONDS"]
    room = pod_of(api)["terminationGracePeriodSeconds"] - int(pause) - int(finish)
    assert f"sleeps for {pause} s" in PAGE
    assert f"for {settings['data']['SHUTDOWN_DELAY_SECONDS']} s (`SHUTDOWN_DELAY_SECONDS`)" in PAGE
    assert f"{pause} s, {finish} s of `GRACEFUL_TIMEOUT_SECONDS`, {room} s of room" in PAGE


def test_a_release_brings_the_workers_before_the_api():
    """The first apply has all but the API: the settings that workers name too, and the workers."""
    release = block("docker push", "rollout status")
    steps = re.findall(r"kubectl apply.*|rollout status deployment/[\w-]+", release)
    first, workers, second, api = steps
    assert workers.endswith("vitrine-worker")
    assert api.endswith("vitrine-api")
    assert " -l " not in second
    (label, value) = re.search(r"-l '([\w./]+)!=(\w+)'", first).groups()
    for made in rendered("overlays/production"):
        is_api = made["metadata"].get("labels", {}).get(label) == value
        if made["kind"] in {"ConfigMap", "Namespace"} or "worker" in made["metadata"]["name"]:
            assert not is_api
        elif made["metadata"]["name"] == "vitrine-api":
            assert is_api


def test_going_back_takes_the_api_first():
    """Old workers would meet what a new API asks for."""
    undone = re.findall(r"rollout undo deployment/([\w-]+)", block("rollout undo"))
    assert undone == ["vitrine-api", "vitrine-worker"]


@pytest.mark.parametrize("file", ["kustomization.yaml", "host.yaml"])
def test_a_variable_that_is_not_set_changes_no_file(tmp_path, file):
    """Or an empty tag is applied."""
    script = block("newName").replace("cd deploy/kubernetes/", "cd kubernetes/")
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={"PATH": PATH}, capture_output=True, check=False
    )
    place = f"overlays/production/{file}"
    assert b"parameter null or not set" in done.stderr
    assert (tmp_path / "kubernetes" / place).read_text() == (FOLDER / place).read_text()


def test_what_is_ours_goes_before_the_operators():
    """A ScaledObject without KEDA keeps its namespace for ever; and secrets are saved first."""
    ours = block("kubectl delete -k")
    assert ours.index("get secret") < ours.index("kubectl delete -k")
    by_hand = set(re.findall(r"-n vitrine create secret \w+ ([\w-]+)", PAGE))
    assert by_hand
    assert all(name in ours for name in by_hand)
    assert PAGE.index(ours) < PAGE.index(block("helm uninstall"))
    installed = set(re.findall(r"upgrade --install ([\w-]+)", PAGE))
    assert set(re.findall(r"helm uninstall ([\w-]+)", PAGE)) == installed
