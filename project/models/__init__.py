"""Plug-ins: one file here is one model, served under the file's name; see `_base.py`."""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from project.errors import ConfigurationError

if TYPE_CHECKING:  # NumPy and Pillow are slow to import, and who checks names needs neither
    from project.models._base import Model


def available() -> list[str]:
    """Names of the models that have a file here, without importing any."""
    found = pkgutil.iter_modules(__path__)
    return sorted(item.name for item in found if not item.ispkg and not item.name.startswith("_"))


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigurationError where a name has no file."""
    known = available()
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"MODELS: no file project/models/{name}.py; there are: {', '.join(known)}"
            )


def create(names: Sequence[str]) -> "list[Model[Any, Any]]":
    """One unloaded instance of each named model, in that order."""
    check_names(names)
    return [_only_model_of(name)(name) for name in names]


def _only_model_of(name: str) -> "type[Model[Any, Any]]":
    from project.models._base import Model  # noqa: PLC0415 - see above

    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:  # whatever stands in a model's file
        raise ConfigurationError(
            f"project/models/{name}.py cannot be imported: {type(error).__name__}: {error}"
        ) from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Model)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ConfigurationError(
            f"project/models/{name}.py: define one subclass of Model, not {len(found)}"
        )
    _check_parameters(name, found[0])
    return found[0]


def _check_parameters(name: str, model: "type[Model[Any, Any]]") -> None:
    """A caller may send nothing but a picture, so every parameter needs a default."""
    required = [key for key, value in model.params.model_fields.items() if value.is_required()]
    if required:
        raise ConfigurationError(
            f"project/models/{name}.py: give a default to the parameters {', '.join(required)}"
        )
