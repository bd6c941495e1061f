"""The model contract: all that the author of a model imports."""

from pydantic import Field

from project.errors import InvalidInput
from project.models.base.arrays import Array, softmax
from project.models.base.callback_generator import stepwise
from project.models.base.inputs import (
    ImageInput,
    Inputs,
    NoInputs,
    NoParams,
    Params,
    Picture,
    TextInput,
    picture,
    rectangle_on,
    sent_size,
)
from project.models.base.model import (
    PRECISIONS,
    AnyModel,
    BatchModel,
    Model,
    Net,
    StepModel,
    Steps,
)
from project.models.base.results import (
    Box,
    Boxes,
    Class,
    Classes,
    Label,
    Point,
    Points,
    Reason,
    TextLabel,
    TopPrediction,
)
from project.models.base.weights import NO_WEIGHTS, Weights, WeightsFile, file_of_ours, package_file

__all__ = [
    "NO_WEIGHTS",
    "PRECISIONS",
    "AnyModel",
    "Array",
    "BatchModel",
    "Box",
    "Boxes",
    "Class",
    "Classes",
    "Field",
    "ImageInput",
    "Inputs",
    "InvalidInput",
    "Label",
    "Model",
    "Net",
    "NoInputs",
    "NoParams",
    "Params",
    "Picture",
    "Point",
    "Points",
    "Reason",
    "StepModel",
    "Steps",
    "TextInput",
    "TextLabel",
    "TopPrediction",
    "Weights",
    "WeightsFile",
    "file_of_ours",
    "package_file",
    "picture",
    "rectangle_on",
    "sent_size",
    "softmax",
    "stepwise",
]
