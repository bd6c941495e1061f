"""The house rules, executed: what docs/architecture.md says of the code is checked here."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from project import docgen, errors, models
from project.observability.metrics import CATALOGUE
from project.settings import Settings

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "project"
MODULES = sorted(PROJECT.rglob("*.py"))
TRACKED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()

ORDER = [
    "settings",
    "errors",
    "files",
    "resources",
    "sizing",
    "observability",
    "processes",
    "models",
    "inference",
    "db",
    "storage",
    "jobs",
    "local_stack",
    "api",
    "server",
]
ENTRANCES = {
    "app",
    "cli",
    "docgen",
    "healthcheck",
    "preflight",
    "worker",
    "__main__",
}  # they may import anything
MAX_LINES = 250
OWN_WEIGHTS = {"project/models/files/text_to_image.npz"}


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    """Top-level parts of our own package that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "project":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("project."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("project.")
            }
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    """A part may import itself and what stands left of it, never what stands right."""
    name = name_of(path)
    if name in ENTRANCES or name == "__init__":
        return
    allowed = set(ORDER[: ORDER.index(name) + 1])
    assert imports_of(path) <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_opens_with_a_sentence(path):
    """A file is one idea, and its first line says which."""
    source = path.read_text()
    assert len(source.splitlines()) <= MAX_LINES
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring
    assert docstring.splitlines()[0].rstrip().endswith((".", ":", "?"))


def test_metrics_are_constructed_in_the_catalogue_alone():
    """A metric that is declared elsewhere is on no page, no dashboard and in no test."""
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    for path in MODULES:
        if path.name == "metrics.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client":
                assert not kinds & {alias.name for alias in node.names}, path


def test_the_environment_is_read_in_the_settings_alone():
    """What a process does depends on its settings, not on what happens to be exported."""
    for path in [*MODULES, ROOT / "gunicorn.conf.py"]:
        assert not re.search(
            r"\benviron\b|\bgetenv\b", path.read_text().replace("PROMETHEUS", "")
        ), path


@pytest.mark.parametrize("path", sorted(docgen.files()))
def test_generated_files_are_up_to_date(path):
    """`make docs` writes them."""
    assert (ROOT / path).read_text() == docgen.files()[path]


def test_metric_names_follow_prometheus():
    """`_total` on counters and only there; base units; no pid."""
    for spec in CATALOGUE:
        assert spec.name.endswith("_total") == (spec.kind == "counter"), spec.name
        assert not re.search(r"_(ms|milliseconds|kb|mb|minutes)\b", spec.name), spec.name
        assert "pid" not in spec.labels


def test_nothing_generated_or_large_is_in_the_tree():
    """Weights, environments and data come from commands; our own small weights alone from git."""
    for name in TRACKED:
        path = ROOT / name
        most = 6 * 2**20 if name in OWN_WEIGHTS else 2**20
        assert not path.exists() or path.stat().st_size < most, name
        assert not name.endswith((".pyc", ".pth", ".onnx", ".db")), name


def test_every_setting_is_used():
    """A setting that nothing reads is a promise that nobody keeps."""
    source = "\n".join(path.read_text() for path in [*MODULES, ROOT / "gunicorn.conf.py"])
    for name in Settings.model_fields:
        if name.endswith("_weights"):  # read by this ending, for the model of that name
            assert name.removesuffix("_weights") in models.available()
            continue
        uses = len(re.findall(rf"\.{name}\b", source))
        assert uses >= 1, f"{name.upper()} is read nowhere"


def test_every_error_carries_its_status_and_a_name():
    """The tree in project/errors.py is complete, and its names are unique."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ProjectError)
    ]
    tree = errors.__doc__ or ""
    for kind in kinds:
        assert kind.__name__ in tree
        assert 400 <= kind.status < 600
