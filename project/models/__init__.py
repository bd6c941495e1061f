"""Plug-ins: one file here is one model, served under the file's name; see `base/`."""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from project.errors import ConfigurationError

if TYPE_CHECKING:  # NumPy and Pillow are slow to import, and checking names needs neither
    from project.models.base import AnyModel, LongModel, Model


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
    """One unloaded instance of each named model, quick or long, in that order.

    sources: name → the source of its weights, for models with other weights than their own.
    """
    check_names(names)
    models = [_only_model_of(name)(name) for name in names]
    for model in models:
        model.source = sources.get(model.name)
    return models


def quick_of(served: "Sequence[AnyModel]", *, jobs: bool) -> "list[Model[Any, Any]]":
    """The models that predict at once. jobs: whether the others are served as jobs.

    Raises ConfigurationError where none is left.
    """
    from project.models.base import LongModel  # noqa: PLC0415 - see above

    quick = [model for model in served if not isinstance(model, LongModel)]
    if not quick and not jobs:
        names = ", ".join(model.name for model in served)
        raise ConfigurationError(
            f"{names}: served as jobs alone, and JOBS is off; "
            "name a model that is quick in MODELS, or set JOBS=on"
        )
    return quick


def _only_model_of(name: str) -> "type[AnyModel]":
    from project.models.base import LongModel, Model  # noqa: PLC0415 - see above

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
        and issubclass(value, Model | LongModel)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ConfigurationError(
            f"project/models/{name}.py: define one subclass of Model, not {len(found)}; "
            "or one of LongModel, for a job"
        )
    (model,) = found
    if issubclass(model, LongModel):
        _check_images(name, model)
    if not issubclass(model, LongModel) or model.images:
        _check_parameters(name, model)
    return model


def _check_images(name: str, model: "type[LongModel[Any, Any]]") -> None:
    """Images and parameters are fields of one form, so no two may have the same name."""
    if not isinstance(model.images, tuple):  # ("image") is a string, of five letters
        raise ConfigurationError(
            f"project/models/{name}.py: images must be a tuple, such as ('image',)"
        )
    fields = [*model.images, *model.params.model_fields]
    wrong = {item for item in model.images if not _plain(item) or fields.count(item) > 1}
    if wrong:
        raise ConfigurationError(
            f"project/models/{name}.py: give each image a name of its own, in lower case, of "
            f"letters, digits and _, that no parameter has; not {', '.join(sorted(wrong))}"
        )


def _plain(name: str) -> bool:
    """Whether an image's name may be a part of a key in the storage."""
    return name.isascii() and name.isidentifier() and name == name.lower()


def _check_parameters(name: str, model: "type[AnyModel]") -> None:
    """A request may have nothing but a picture, so every parameter needs a default."""
    required = [key for key, value in model.params.model_fields.items() if value.is_required()]
    if required:
        raise ConfigurationError(
            f"project/models/{name}.py: give a default to the parameters {', '.join(required)}"
        )
