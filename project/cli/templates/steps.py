"""my_model: one picture fades into another, in steps.

It works as it stands; change it from top to bottom. docs/models.md says what each part may be.
"""

from PIL import Image

from project.models.base import (
    NO_WEIGHTS,
    Field,
    Inputs,
    InvalidInput,
    Params,
    Picture,
    StepModel,
    Steps,
    picture,
)

MAX_RATIO = 4  # between the sides of the two pictures


class Pictures(Inputs):
    """What goes in: each field is a Picture or a str, and has that name in every request."""

    first: Picture = picture(description="The picture that is changed; the result has its size.")
    second: Picture = picture(description="What it becomes.", useful_side=512)


class Options(Params):
    """What a client may choose: each with a type, bounds, a default and a description."""

    share: float = Field(0.5, ge=0, le=1, description="How much of the second picture is seen.")
    iterations: int = Field(4, ge=1, le=50, description="In how many steps.")


class Fade(StepModel[Pictures, Picture, Options]):
    """The brackets say what goes in, what comes out and what may be chosen."""

    version = "0.1.0"  # raise it when answers change: jobs, metrics and cached results carry it
    summary = "Fades one picture into another."  # one line, on the page
    licence = "MIT"  # of the weights, as https://spdx.org/licenses names it
    # A file in project/models/files/: Weights("fade-1", file_of_ours("fade.onnx"))
    weights = NO_WEIGHTS
    backend = "pillow"  # what runs it; shown on the page
    slo_seconds = 1.0  # an answer within it counts as in time
    background = False  # True: it takes longer than a client should wait, so it runs as a job alone

    def load(self) -> None:
        """Read the weights, once in each process, into attributes that `steps` only reads."""

    def steps(self, inputs: Pictures, params: Options) -> Steps[Picture]:
        """Do the work, and yield the share that is done after each step but the last.

        Where it yields, a job shows its progress, and the work ends if nobody waits for it any
        more; so no step should take much longer than a second.
        """
        first, second = inputs.first, inputs.second  # RGB and upright
        ratio = (first.width / first.height) / (second.width / second.height)
        if not 1 / MAX_RATIO <= ratio <= MAX_RATIO:  # a 422, which says what to send instead
            raise InvalidInput("send two pictures whose sides have about the same ratio")
        target = second.resize(first.size)
        result = first
        for number in range(1, params.iterations + 1):
            result = Image.blend(first, target, params.share * number / params.iterations)
            if number < params.iterations:
                yield number / params.iterations
        return result
