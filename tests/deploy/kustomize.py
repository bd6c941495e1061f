"""Manifests as kubectl renders them, and what a test asks of them."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ops.tools import ROOT, need, output

FOLDER = ROOT / "deploy" / "kubernetes"
COMPONENTS = 21  # the minor version of kubectl from which on it knows components

Object = dict[str, Any]
Labels = dict[str, str]


@cache
def rendered(name: str, components: tuple[str, ...] | None = None) -> list[Object]:
    """The objects of a folder of deploy/kubernetes, which tests share and so do not change.

    components: those of an overlay, in the place of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "kubernetes"
        shutil.copytree(FOLDER, tree, ignore=shutil.ignore_patterns("__pycache__"))
        if components is not None:
            _choose(tree / name, components)
        if _minor() < COMPONENTS:
            _for_old(tree / name)
        text = output(need("kubectl"), "kustomize", str(tree / name))
    return [found for found in yaml.safe_load_all(text) if found]


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of that kind and name."""
    (found,) = [it for it in of_kind(objects, kind) if it["metadata"]["name"] == name]
    return found


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """All of that kind."""
    return [it for it in objects if it["kind"] == kind]


def pod_of(deployment: Object) -> Object:
    """The specification of a Deployment's pods."""
    pod: Object = deployment["spec"]["template"]["spec"]
    return pod


def container_of(deployment: Object) -> Object:
    """The one container of a Deployment's pods."""
    (container,) = pod_of(deployment)["containers"]
    return container


def labels_of(deployment: Object) -> Labels:
    """The labels of a Deployment's pods."""
    labels: Labels = deployment["spec"]["template"]["metadata"]["labels"]
    return labels


def chooses(selector: Object, labels: Labels) -> bool:
    """Whether a selector, or a Service's plain one, takes what has these labels."""
    wanted: Labels = selector.get("matchLabels", selector)
    return wanted.items() <= labels.items()


def settings_map(objects: list[Object]) -> dict[str, str]:
    """What the ConfigMap of the settings holds."""
    (found,) = of_kind(objects, "ConfigMap")
    data: dict[str, str] = found["data"]
    return data


def _choose(overlay: Path, components: tuple[str, ...]) -> None:
    """Have these components, and patches of what is still there alone, as the page says."""
    path = overlay / "kustomization.yaml"
    made = yaml.safe_load(path.read_text())
    made["components"] = [f"../../components/{component}" for component in components]
    gone = {"host.yaml"} if "ingress" not in components else set()
    gone |= {"worker-identity.yaml"} if "no-jobs" in components else set()
    made["patches"] = [patch for patch in made["patches"] if patch["path"] not in gone]
    path.write_text(yaml.safe_dump(made))


@cache
def _minor() -> int:
    said = output(need("kubectl"), "version", "--client", "-o", "json")
    return int(json.loads(said)["clientVersion"]["minor"].rstrip("+"))


def _for_old(folder: Path) -> None:
    """Say the same in the words of kustomize 2.0, which kubectl 1.20 brings.

    Folders are `bases`, patches `patchesStrategicMerge`; a component is a base whose patches move
    to the overlay. What else a component can do is beyond it.
    """
    path = folder / "kustomization.yaml"
    made = yaml.safe_load(path.read_text())
    resources, patches = made.pop("resources"), made.pop("patches", [])
    for number, place in enumerate(made.pop("components", [])):
        component = folder / place
        inside = yaml.safe_load((component / "kustomization.yaml").read_text())
        if set(inside) - {"apiVersion", "kind", "resources", "patches"}:
            pytest.skip(f"kubectl 1.{_minor()} cannot render {component.name}; 1.{COMPONENTS} can")
        for patch in inside.pop("patches", []):
            moved = f"{number}-{patch['path']}"
            shutil.copy(component / patch["path"], folder / moved)
            patches.append({"path": moved})
        inside |= {"apiVersion": made["apiVersion"], "kind": "Kustomization"}
        (component / "kustomization.yaml").write_text(yaml.safe_dump(inside))
        resources.append(place)
    made["bases"] = [place for place in resources if (folder / place).is_dir()]
    made["resources"] = [place for place in resources if (folder / place).is_file()]
    made["patchesStrategicMerge"] = [patch["path"] for patch in patches]
    path.write_text(yaml.safe_dump(made))
