"""mix: two pictures laid over each other, in steps."""

from PIL import Image

from project.models.base import (
    NO_WEIGHTS,
    Field,
    Inputs,
    Params,
    Picture,
    StepModel,
    Steps,
    picture,
)


class Two(Inputs):
    """Two pictures, the second one may be left out."""

    first: Picture
    second: Picture | None = picture(None, description="Laid over the first.")


class Share(Params):
    """How much of the second."""

    share: float = Field(0.5, ge=0, le=1)


class Mix(StepModel[Two, Picture, Share]):
    """Mixes."""

    version, licence, summary = "1.0.0", "MIT", "Two pictures in one."
    weights, backend = NO_WEIGHTS, "pillow"

    def steps(self, inputs: Two, params: Share) -> Steps[Picture]:
        yield 0.25
        if inputs.second is None:
            return inputs.first
        second = inputs.second.resize(inputs.first.size)
        yield 0.75
        return Image.blend(inputs.first, second, params.share)
