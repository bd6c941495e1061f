"""The house rules, executed: what docs/architecture.md says of the code is checked here."""

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from project import docgen, errors, models
from project.observability.metrics import CATALOGUE
from project.settings import Settings

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "project"
MODULES = sorted(PROJECT.rglob("*.py"))
SPOKEN = [
    *MODULES,
    *sorted((ROOT / "drills").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
]
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
    "atomic_write",
    "resources",
    "observability",
    "processes",
    "models",
    "inference",
    "db",
    "storage",
    "accounts",
    "jobs",
    "local_stack",
    "api",
    "server",
]
ENTRY_POINTS = {  # may import anything
    "app",
    "cli",
    "docgen",
    "healthcheck",
    "preflight",
    "worker",
    "__main__",
}
MAX_LINES = 400
MIN_LINES = 40  # of a module with a single importer that does not say why it stands alone
STANDS_ALONE = "stands alone"  # how its docstring says so
OWN_WEIGHTS = {
    "project/models/files/spam.safetensors",
    "project/models/files/text_to_image.npz",
}

# Names that the code once had and words that it explained itself with, which no engineer of the
# field would search for. What each is called now stands in docs/architecture.md.
OLD_CLASSES = {
    *("Door", "Gate", "Desk", "Intake", "Order", "OrderedImage", "Feed", "Watched", "Direct"),
    *("Lane", "Place", "Places", "Turns", "Board", "Alone", "Streams", "Stages", "Look", "Ends"),
    *("Watch", "Runs", "Measured", "JobReader", "Words", "Crew", "Patience"),
}
OLD_WORDS = {
    *("door", "doors", "desk", "desks", "lane", "lanes", "patience", "foremost", "outlast"),
    *("whoever", "him"),
}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    """Top-level parts of our own package that a module imports."""
    found = set()
    for node in ast.walk(tree_of(path)):
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


def test_imports_point_one_way():
    """A part may import itself and what stands left of it, never what stands right."""
    for path in MODULES:
        name = name_of(path)
        if name not in ENTRY_POINTS and name != "__init__":
            allowed = set(ORDER[: ORDER.index(name) + 1])
            assert imports_of(path) <= allowed, path


def test_a_module_is_not_long_and_opens_with_a_sentence():
    """A file is one reason to change, and its first line says what it is for."""
    for path in MODULES:
        assert len(path.read_text().splitlines()) <= MAX_LINES, path
        docstring = ast.get_docstring(tree_of(path)) or ""
        assert docstring.partition("\n")[0].rstrip().endswith((".", ":", "?")), path


def importers() -> dict[Path, set[Path]]:
    """Module → those that import it, Gunicorn's configuration among them."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in MODULES
    }
    found: dict[Path, set[Path]] = {path: set() for path in MODULES}
    for path in [*MODULES, ROOT / "gunicorn.conf.py"]:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                named = [name if name in modules else node.module for name in names]
            elif isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            else:
                continue
            for name in named:
                if name in modules:
                    found[modules[name]].add(path)
    return found


def test_a_small_module_with_one_importer_says_why_it_stands_alone():
    """Else it belongs into its importer.

    A package's __init__ names the package; a model is a file by contract, and routes are a file for
    each URL. What nothing imports is run, or loaded by its name.
    """
    for path, importing in importers().items():
        exempt = path.name == "__init__.py" or path.parent.name == "routes"
        long = len(path.read_text().splitlines()) >= MIN_LINES
        if exempt or long or len(importing) != 1 or name_of(path) == "models":
            continue
        assert STANDS_ALONE in (ast.get_docstring(tree_of(path)) or ""), path


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every name that a module defines or uses."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name):
                yield name


def docstrings_in(tree: ast.AST) -> Iterator[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds):
            yield ast.get_docstring(node) or ""


def test_the_old_vocabulary_is_gone():
    """A module, a class and a function carry the noun or verb that the field would search for."""
    for path in SPOKEN:
        tree = tree_of(path)
        names = set(names_in(tree)) | {path.stem}
        parts = {part for name in names for part in name.lower().split("_")}
        spoken = set(re.findall(r"[a-z]+", " ".join(docstrings_in(tree)).lower()))
        old = names & OLD_CLASSES | (parts | spoken) & OLD_WORDS
        assert old == set(), path


def test_metrics_are_constructed_in_the_catalogue_alone():
    """A metric that is declared elsewhere is on no page, no dashboard and in no test."""
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    for path in MODULES:
        if path.name == "metrics.py":
            continue
        for node in ast.walk(tree_of(path)):
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


def error_modules() -> Iterator[str]:
    """Modules that define an error of ours; the command line's never leave it."""
    errors_known = {"ProjectError"}
    found: set[str] = set()
    before = -1
    while before != len(errors_known):  # a subclass of a subclass may come first
        before = len(errors_known)
        for path in MODULES:
            if name_of(path) == "cli":
                continue
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.ClassDef):
                    bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                    if bases & errors_known:
                        errors_known.add(node.name)
                        found.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    yield from sorted(found)


def test_every_error_carries_its_status_and_stands_in_the_tree():
    """The tree in project/errors.py is complete, wherever a subclass is defined."""
    modules = [importlib.import_module(name) for name in error_modules()]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, errors.ProjectError)
    }
    assert {"JobConflict", "WorkersDied"} <= {kind.__name__ for kind in kinds}
    tree = errors.__doc__ or ""
    for kind in kinds:
        assert re.search(rf"\b{kind.__name__}\b", tree), kind
        assert 400 <= kind.status < 600
