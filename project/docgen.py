"""Files that are made from the code, so that they cannot tell another story: `make docs`."""

from collections.abc import Mapping
from itertools import groupby

from pydantic import SecretStr

from project.observability.metrics import Spec, exposed
from project.settings import Settings
from project.settings.jobs import JobSettings
from project.settings.local_stack import LocalStackSettings


def files() -> dict[str, str]:
    """Path in the repository → text."""
    return {".env.example": env_example(), "docs/metrics.md": metrics_page()}


def env_example() -> str:
    """Every setting, its default and one line of help."""
    lines = ["# Every setting with its default. Copy to .env and change what you need.", ""]
    fields = Settings.model_fields
    # Pydantic has the inherited ones first; they are better read last.
    inherited = [*JobSettings.model_fields, *LocalStackSettings.model_fields]
    for name in [*(name for name in fields if name not in inherited), *inherited]:
        field = fields[name]
        lines.append(f"# {field.description}")
        value = _shown(field.get_default())
        lines += [f"{name.upper()}={value}" if value else f"# {name.upper()}=", ""]
    return "\n".join(lines)


def _shown(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, SecretStr):  # a default is no secret
        return default.get_secret_value()
    return ",".join(default) if isinstance(default, tuple) else str(default)


def metrics_page() -> str:
    """docs/metrics.md: the catalogue as tables."""
    lines = [
        "# Metrics",
        "",
        "Made by `make docs` from `project/observability/metrics.py`; a test keeps it true.",
        "Gauges are merged over the workers as their mode says: `livesum`, `livemin`, `livemax`.",
    ]
    for section, specs in groupby(exposed(), key=lambda spec: spec.section):
        lines += ["", f"## {section}", "", "| name | type | labels | what it says |"]
        lines += ["| --- | --- | --- | --- |", *(_row(spec) for spec in specs)]
    return "\n".join(lines) + "\n"


def _row(spec: Spec) -> str:
    kind = f"{spec.kind} {spec.mode}" if spec.mode else spec.kind
    labels = "; ".join(_label(name, spec.values) for name in spec.labels)
    return f"| `{spec.name}` | {kind} | {labels} | {spec.help} |"


def _label(name: str, values: Mapping[str, tuple[str, ...]]) -> str:
    return f"{name}: {', '.join(values[name])}" if name in values else name
