"""Plug-ins: one file here is one model, served under the file's name; see `base/`."""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from project.errors import ConfigurationError

if TYPE_CHECKING:  # NumPy and Pillow are slow to import, and checking names needs neither
    from project.models.base import AnyModel


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


def create(
    names: Sequence[str], sources: Mapping[str, str] = MappingProxyType({})
) -> "list[AnyModel]":
    """One unloaded instance of each named model, in that order.

    sources: name → the source of its weights, for models with other weights than their own.
    Raises ConfigurationError for the first mistake in a file.
    """
    check_names(names)
    models = [_only_model_of(name)(name) for name in names]
    for model in models:
        model.source = sources.get(model.name)
    return models


def without_background(served: "Sequence[AnyModel]", *, jobs: bool) -> "list[AnyModel]":
    """The models that a client can wait for. jobs: whether the others are served as jobs.

    Raises ConfigurationError where none is left.
    """
    left = [model for model in served if not model.background]
    if not left and not jobs:
        names = ", ".join(model.name for model in served)
        raise ConfigurationError(
            f"{names}: served as jobs alone, and JOBS is off; "
            "name a model in MODELS that answers at once, or set JOBS=on"
        )
    return left


def _only_model_of(name: str) -> "type[AnyModel]":
    from project.models.base import Model
    from project.models.base.checks import only_model

    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:  # a model's file may raise anything
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
    return only_model(name, found)
