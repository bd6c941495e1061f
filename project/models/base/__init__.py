"""The model contract: what the author of a model imports."""

from project.models.base.callback_generator import stepwise
from project.models.base.long_model import AnyModel, LongModel
from project.models.base.model import Array, Declared, Model, NoParams, Params, softmax
from project.models.base.weights import package_file

__all__ = [
    "AnyModel",
    "Array",
    "Declared",
    "LongModel",
    "Model",
    "NoParams",
    "Params",
    "package_file",
    "softmax",
    "stepwise",
]
