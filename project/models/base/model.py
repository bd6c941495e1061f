"""The contract of a model; it knows nothing of HTTP, metrics or queues.

A model is one file in `project/models/` with one subclass of `BatchModel` or `StepModel`. The
file's name is the model's name in the URL, the metrics, the logs and the setting MODELS. Its
brackets name three classes: what goes in, what comes out, and what may be chosen.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeAlias, cast, get_args, get_origin

from PIL import Image
from pydantic import BaseModel
from typing_extensions import TypeVar, get_original_bases

from project.models.base.arrays import Array
from project.models.base.inputs import Inputs, NoParams, Params, pictures_of
from project.models.base.results import TopPrediction, draw_on, is_drawable, top_prediction_of
from project.models.base.weights import Weights

T = TypeVar("T")
I = TypeVar("I", bound=Inputs)  # noqa: E741 - as in the contract
R = TypeVar("R", bound=BaseModel | Image.Image)
P = TypeVar("P", bound=Params, default=NoParams)

Net: TypeAlias = Callable[[Array], Array]
PRECISIONS = ("bf16", "f32")  # that a net may be compiled for
Steps: TypeAlias = Generator[float, None, T]


class Model(ABC, Generic[I, R, P]):
    """What every model declares; subclass BatchModel or StepModel."""

    version: ClassVar[str]  # of the model, shown in /v1/models and model_info
    summary: ClassVar[str]  # one line for people
    licence: str  # of the weights, SPDX
    weights: Weights  # Weights("name", file, …), or NO_WEIGHTS
    labels: Sequence[str] = ()  # the closed set of labels, if there is one; here or in load()
    background: ClassVar[bool] = False  # longer than a client should wait: served as jobs alone
    slo_seconds: ClassVar[float]  # a prediction answered within it counts as good
    backend: str = "torch"  # what runs the model; the runner sets it where it compiles a net
    source: str | None = None  # what <NAME>_WEIGHTS names; None: the weights that come with it

    inputs: ClassVar[type[Inputs]]  # these three are taken from the brackets
    result: ClassVar[type[Any]]
    params: ClassVar[type[Params]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__orig_bases__" not in cls.__dict__:
            return  # no brackets: as its base
        found = [_plain(it) for it in brackets(cls)]
        if all(isinstance(it, type) for it in found):  # else a base of the author's, still generic
            cls.inputs, cls.result, cls.params = found

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self) -> None:
        """Read the weights. Called once in each process; an error keeps /ready red."""

    def top_prediction(self, result: R) -> TopPrediction | None:
        """The label and confidence (0 to 1, or None) to count for a result, if it has any.

        The standard results have one of their own.
        """
        return top_prediction_of(result)

    def draw(self, inputs: I, result: R) -> Image.Image:
        """Draw the result, for clients that ask for a picture.

        inputs: with pictures as large as they were sent. Boxes and points are drawn on the first
        one, unless a model draws otherwise.
        """
        return draw_on(getattr(inputs, pictures_of(self.inputs)[0]), result)

    @classmethod
    def can_draw(cls) -> bool:
        """Whether a picture can be asked for although the result is none."""
        if issubclass(cls.result, Image.Image):
            return False
        if cls.draw is not Model.draw:
            return True
        return is_drawable(cls.result) and bool(pictures_of(cls.inputs))


AnyModel: TypeAlias = Model[Any, Any, Any]


def brackets(kind: type) -> tuple[Any, Any, Any]:
    """What stands for inputs, result and parameters in the brackets of a model or of its bases.

    Raises TypeError where a class names none.
    """
    return cast("tuple[Any, Any, Any]", _arguments(kind))


def _arguments(kind: type) -> tuple[Any, ...]:
    if kind is Model:
        return (I, R, P)
    for base in get_original_bases(kind):
        origin = get_origin(base) or base
        if isinstance(origin, type) and issubclass(origin, Model):
            parameters = getattr(origin, "__parameters__", ())
            given = dict(zip(parameters, get_args(base), strict=False))
            if given:
                given.setdefault(P, NoParams)
            return tuple(given.get(it, it) for it in _arguments(origin))
    raise TypeError(f"{kind.__name__} is no model")


def _plain(declared: Any) -> Any:
    """A type without what Annotated adds: Picture is a PIL image."""
    return get_args(declared)[0] if get_origin(declared) is Annotated else declared


class BatchModel(Model[I, R, P]):
    """Answers several inputs with one pass of a net.

    The runner calls `preprocess` for many inputs at once in several threads, stacks arrays of one
    shape, calls `forward` for the batch, then `postprocess` for each input; several batches may run
    at once, so `forward` must not change the model.
    """

    slo_seconds = 0.5
    max_batch: ClassVar[int] = 8
    precisions: ClassVar[Sequence[str]] = PRECISIONS  # that a compiled net may serve in
    net: Net  # set by the runner from build_net
    nets: Mapping[str, Net]  # set by the runner from build_nets

    def build_net(self) -> Any:
        """Build a torch module that takes one tensor, a batch, and returns one; optional.

        The runner makes `self.net` of it: the fastest executable with equal outputs, from arrays to
        arrays (inference/backends/). A compiled one needs no torch, so import torch in here.
        """
        raise NotImplementedError

    def build_nets(self) -> Mapping[str, Any]:
        """Build the torch modules of a cascade, in place of `build_net`: name → as there; optional.

        The runner makes `self.nets` of them, as it makes `self.net` of one.
        """
        raise NotImplementedError

    def net_examples(self) -> Mapping[str, Sequence[Array]]:
        """Batches of each net of `build_nets`, the first of two or more; nothing: there is none.

        Each net is compared with torch on them. It takes batches of any size, and any length along
        the axes in which the examples differ.
        """
        return {}

    @abstractmethod
    def preprocess(self, inputs: I, params: P) -> Array:
        """Turn the inputs into an array without a batch dimension.

        Pictures are RGB, upright and at least MIN_IMAGE_SIDE a side. Raises InvalidInput for inputs
        that cannot be used.
        """

    def forward(self, batch: Array) -> Sequence[Any]:
        """Run the net. batch: (n, …), n up to `max_batch`. Returns n outputs."""
        return list(self.net(batch))

    @abstractmethod
    def postprocess(self, output: Any, inputs: I, params: P) -> R:
        """Turn one output into the result. `sent_size(inputs.image)` is the picture's size."""


class StepModel(Model[I, R, P]):
    """Does its work in steps, for one request or job at a time in each thread.

    Several run at once, so `steps` must not change the model. A job whose worker died runs again
    from its beginning, so `steps` must have no effect but its result.
    """

    slo_seconds = 5.0

    @abstractmethod
    def steps(self, inputs: I, params: P) -> Steps[R]:
        """Do the work; after each step but the last yield the share done, 0 to 1, growing.

        Where it yields, a job reports its progress, and a prediction ends whose client has gone or
        whose deadline has passed: a step that takes long delays all of that. Raises InvalidInput
        for inputs that cannot be used. Returns the result.
        """
