"""Finds the first mistake in a model's file, and says in one line what to write instead."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image
from pydantic import BaseModel, ValidationError

from project.errors import ConfigurationError
from project.models.base.inputs import Inputs, Params, fields_of
from project.models.base.model import PRECISIONS, BatchModel, Model, StepModel
from project.models.base.weights import Weights

RESERVED = {"quality"}  # read like a parameter where a picture is the answer
DECLARED = {
    "version": '"1.0.0"',
    "summary": '"What it does, in one line."',
    "licence": '"Apache-2.0"  # SPDX, of the weights',
    "weights": 'Weights("my-net", file_of_ours("my_net.safetensors")), or NO_WEIGHTS',
}


def only_model(name: str, found: Sequence[type[Model[Any, Any, Any]]]) -> type[Any]:
    """The one model of a file, without a mistake.

    name: the file's, without .py. found: the models that it defines. Raises ConfigurationError.
    """
    if not (name.isascii() and name.isidentifier() and name == name.lower()):
        raise ConfigurationError(
            f"project/models/{name}.py: rename it: a model's name is of lower-case letters, digits "
            "and _, and does not begin with a digit"
        )
    concrete = [it for it in found if not any(it in other.__bases__ for other in found)]
    if len(concrete) != 1:
        raise ConfigurationError(
            f"project/models/{name}.py: it has {len(concrete)} models; write one subclass of "
            "BatchModel or StepModel, and one file for each model"
        )
    (model,) = concrete
    for mistake in _mistakes(model):
        raise ConfigurationError(f"project/models/{name}.py: {mistake}")
    return model


def _mistakes(model: type[Model[Any, Any, Any]]) -> Iterator[str]:
    name = model.__name__
    if not issubclass(model, BatchModel | StepModel):
        yield f"{name} must say how it works; write class {name}(BatchModel[ImageInput, Label])"
        return
    kind = "StepModel" if issubclass(model, StepModel) else "BatchModel"
    if not _has_classes(model):
        yield (
            f"{name} does not say what goes in and what comes out; "
            f"write class {name}({kind}[ImageInput, Label])"
        )
        return
    yield from _wrong_inputs(model.inputs)
    for attribute, example in DECLARED.items():
        wanted = Weights if attribute == "weights" else str
        if not isinstance(getattr(model, attribute, None), wanted):
            yield f"{name} has no {attribute}; write {attribute} = {example}"
    yield from _missing_methods(model)
    yield from _wrong_parameters(model)


def _has_classes(model: type[Model[Any, Any, Any]]) -> bool:
    """Whether the brackets name classes of the right kinds."""
    wanted = {"inputs": (Inputs,), "result": (BaseModel, Image.Image), "params": (Params,)}
    return all(
        isinstance(found := getattr(model, attribute, None), type) and issubclass(found, kinds)
        for attribute, kinds in wanted.items()
    )


def _wrong_inputs(inputs: type[Inputs]) -> Iterator[str]:
    for name in inputs.model_fields:
        if not (name.isascii() and name == name.lower()):
            yield f"{inputs.__name__}.{name} needs a name of lower-case letters, digits and _"
    try:
        fields_of(inputs)
    except TypeError as error:
        name = str(error).split()[0]
        yield (
            f"{inputs.__name__}.{name} is no input; inputs are Picture and str, "
            "anything else is a field of Params"
        )


def _missing_methods(model: type[Any]) -> Iterator[str]:
    name, result = model.__name__, model.result.__name__
    result = "Picture" if result == "Image" else result
    arguments = f"inputs: {model.inputs.__name__}, params: {model.params.__name__}"
    signatures = {
        "preprocess": f"def preprocess(self, {arguments}) -> Array",
        "postprocess": f"def postprocess(self, output: Any, {arguments}) -> {result}",
        "steps": f"def steps(self, {arguments}) -> Steps[{result}]",
    }
    for method, signature in signatures.items():
        if method in model.__abstractmethods__:
            yield f"{name} has no {method}; write {signature}"
    if model.__abstractmethods__:
        yield f"{name} has no {', '.join(sorted(model.__abstractmethods__))}"
    if issubclass(model, StepModel) and not inspect.isgeneratorfunction(model.steps):
        yield f"{name}.steps never yields; write yield 0.5 between two steps, return the result"
    if issubclass(model, BatchModel):
        yield from _wrong_nets(model)
    if (
        issubclass(model, BatchModel)
        and model.forward is BatchModel.forward
        and model.build_net is BatchModel.build_net
    ):
        yield (
            f"{name} has neither build_net nor forward; write def build_net(self) -> Any, which "
            "returns a torch module, or def forward(self, batch: Array) -> Sequence[Any]"
        )


def _wrong_nets(model: type[BatchModel[Any, Any, Any]]) -> Iterator[str]:
    """Mistakes of a cascade of nets, and of precisions."""
    name = model.__name__
    has_several = model.build_nets is not BatchModel.build_nets
    if has_several and model.build_net is not BatchModel.build_net:
        yield f"{name} has build_net and build_nets; keep build_net for one net, else build_nets"
    if has_several and model.net_examples is BatchModel.net_examples:
        yield (
            f"{name} has build_nets and no net_examples; write "
            "def net_examples(self) -> Mapping[str, Sequence[Array]], batches of each net"
        )
    if has_several and model.forward is BatchModel.forward:
        yield (
            f"{name} has build_nets and no forward; write "
            "def forward(self, batch: Array) -> Sequence[Any], which calls self.nets"
        )
    if not model.precisions or not set(model.precisions) <= set(PRECISIONS):
        yield f"{name} has precisions that there are not; write precisions = {PRECISIONS}, or one"


def _wrong_parameters(model: type[Any]) -> Iterator[str]:
    name = model.params.__name__
    for parameter, field in model.params.model_fields.items():
        if parameter in model.inputs.model_fields or parameter in RESERVED:
            yield f"{name}.{parameter} has the name of an input; give the parameter another one"
        if field.is_required() and not field.examples:
            yield f"{name}.{parameter} is required; write Field(examples=[…]), or give a default"
    try:
        example_params(model.params)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "its example"
        yield f"{name}.{where} has an example that is not valid: {fault['msg']}"


def example_params(params: type[Params]) -> Params:
    """Parameters as in the documentation: defaults, and the first example of what is required.

    Raises ValidationError where an example is not valid.
    """
    examples = {
        name: field.examples[0]
        for name, field in params.model_fields.items()
        if field.is_required() and field.examples
    }
    return params.model_validate(examples)
