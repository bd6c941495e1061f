"""Renders the manifests of deploy/kubernetes with kubectl and finds objects in them."""

import json
import math
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.environment import SECRETS
from tests.ops.tools import ROOT, need, output

FOLDER = ROOT / "deploy" / "kubernetes"
PRODUCTION = "overlays/production"
COMPONENTS = 21  # the minor version of kubectl that first knows components
CUSTOM = (
    "monitoring.coreos.com/",
    "keda.sh/",
    "gateway.networking.k8s.io/",
)  # kinds that operators bring

Object = dict[str, Any]
Labels = dict[str, str]


@cache
def rendered(name: str, components: tuple[str, ...] | None = None) -> list[Object]:
    """The objects of a folder of deploy/kubernetes; tests share them and must not change them.

    components: replace those of an overlay.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "kubernetes"
        shutil.copytree(FOLDER, tree, ignore=shutil.ignore_patterns("__pycache__"))
        if components is not None:
            _replace_components(tree / name, components)
        if _kubectl_minor() < COMPONENTS:
            _convert_for_old_kubectl(tree / name)
        text = output(need("kubectl"), "kustomize", str(tree / name))
    return [found for found in yaml.safe_load_all(text) if found]


def find(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [it for it in of_kind(objects, kind) if it["metadata"]["name"] == name]
    return found


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [it for it in objects if it["kind"] == kind]


def pod_of(deployment: Object) -> Object:
    return deployment["spec"]["template"]["spec"]


def container_of(deployment: Object) -> Object:
    (container,) = pod_of(deployment)["containers"]
    return container


def labels_of(deployment: Object) -> Labels:
    return deployment["spec"]["template"]["metadata"]["labels"]


def selects(selector: Object, labels: Labels) -> bool:
    """Whether a selector, or a Service's plain one, takes what has these labels."""
    wanted: Labels = selector.get("matchLabels", selector)
    return wanted.items() <= labels.items()


def environment(
    objects: list[Object], deployment: Object, *, optional: bool = True
) -> dict[str, str]:
    """The environment of a Deployment's container, with example values of secrets.

    optional: whether the Secret has those keys that it may lack.
    """
    container = container_of(deployment)
    (source,) = container["envFrom"]
    variables = dict(find(objects, "ConfigMap", source["configMapRef"]["name"])["data"])
    for variable in container.get("env", []):
        if "value" in variable:
            variables[variable["name"]] = variable["value"]
            continue
        reference = variable["valueFrom"]["secretKeyRef"]
        assert reference["key"] == variable["name"]
        if optional or not reference.get("optional"):
            variables[variable["name"]] = SECRETS[reference["key"]]
    return variables


def pod_bounds(objects: list[Object], name: str) -> tuple[int, int]:
    for it in of_kind(objects, "HorizontalPodAutoscaler") + of_kind(objects, "ScaledObject"):
        spec = it["spec"]
        if spec["scaleTargetRef"]["name"] == name:
            fewest = spec.get("minReplicas") or spec["minReplicaCount"]
            return fewest, spec.get("maxReplicas") or spec["maxReplicaCount"]
    replicas: int = find(objects, "Deployment", name)["spec"]["replicas"]
    return replicas, replicas


def surged(objects: list[Object], name: str, pods: int) -> int:
    """How many pods there are while so many are replaced in a release."""
    surge = find(objects, "Deployment", name)["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    if isinstance(surge, str):
        return pods + math.ceil(pods * int(surge.removesuffix("%")) / 100)
    return pods + int(surge)


def _replace_components(overlay: Path, components: tuple[str, ...]) -> None:
    """Set the components, and drop patches of what is not rendered any more, as the page says."""
    path = overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(path.read_text())
    kustomization["components"] = [f"../../components/{component}" for component in components]
    gone = {"host.yaml"} if "ingress" not in components else set()
    gone |= {"worker-identity.yaml"} if "no-jobs" in components else set()
    kustomization["patches"] = [
        patch for patch in kustomization["patches"] if patch["path"] not in gone
    ]
    path.write_text(yaml.safe_dump(kustomization))


@cache
def need_components() -> None:
    """Skip the test where kubectl is older than what the page asks for."""
    if _kubectl_minor() < COMPONENTS:
        pytest.skip(f"kubectl 1.{_kubectl_minor()} is too old; 1.{COMPONENTS} will do")


def _kubectl_minor() -> int:
    version = json.loads(output(need("kubectl"), "version", "--client", "-o", "json"))
    return int(version["clientVersion"]["minor"].rstrip("+"))


def _convert_for_old_kubectl(folder: Path) -> None:
    """Write the same for kustomize 2.0, which is in kubectl 1.20.

    Folders are `bases`, patches `patchesStrategicMerge`; a component is a base whose patches move
    to the overlay. What else a component can do is beyond it.
    """
    path = folder / "kustomization.yaml"
    kustomization = yaml.safe_load(path.read_text())
    resources, patches = kustomization.pop("resources"), kustomization.pop("patches", [])
    for number, place in enumerate(kustomization.pop("components", [])):
        component = folder / place
        inside = yaml.safe_load((component / "kustomization.yaml").read_text())
        if set(inside) - {"apiVersion", "kind", "resources", "patches"}:
            pytest.skip(
                f"kubectl 1.{_kubectl_minor()} cannot render {component.name}; 1.{COMPONENTS} can"
            )
        for patch in inside.pop("patches", []):
            moved = f"{number}-{patch['path']}"
            shutil.copy(component / patch["path"], folder / moved)
            patches.append({"path": moved})
        inside |= {"apiVersion": kustomization["apiVersion"], "kind": "Kustomization"}
        (component / "kustomization.yaml").write_text(yaml.safe_dump(inside))
        resources.append(place)
    kustomization["resources"] = resources
    kustomization["patchesStrategicMerge"] = [patch["path"] for patch in patches]
    path.write_text(yaml.safe_dump(kustomization))
    _split_bases(folder)


def _split_bases(folder: Path) -> None:
    """Move the folders among the resources to `bases`, in those folders too."""
    path = folder / "kustomization.yaml"
    kustomization = yaml.safe_load(path.read_text())
    resources = kustomization.pop("resources", [])
    kustomization["resources"] = [place for place in resources if (folder / place).is_file()]
    kustomization["bases"] = [place for place in resources if (folder / place).is_dir()]
    path.write_text(yaml.safe_dump(kustomization))
    for place in kustomization["bases"]:
        _split_bases(folder / place)
