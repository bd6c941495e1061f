"""text_to_image: a picture from a prompt, by a small demo or by a diffusers pipeline."""

import secrets
from collections.abc import Generator, Mapping
from typing import ClassVar

from PIL import Image
from pydantic import Field

from project.models.base import LongModel, Params
from project.models.text_to_image_parts.demo import Demo
from project.models.text_to_image_parts.diffusers_pipeline import DiffusersPipeline, load_pipeline

MAX_SEED = 2**53 - 1  # every JSON parser reads it exactly


class Prompt(Params):
    """Parameters of a picture."""

    prompt: str = Field(
        min_length=1,
        max_length=500,
        pattern=r"\S",
        examples=["a fox on blue"],
        description="What to draw; the demo knows things and colours: a fox on blue.",
    )
    negative_prompt: str = Field("", max_length=500, description="What to avoid.")
    steps: int = Field(20, ge=1, le=150, description="Number of denoising steps.")
    guidance: float | None = Field(
        None,
        ge=1,
        le=20,
        description="Guidance scale; at 1 the negative prompt has no effect. "
        "Unset: the model's default.",
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="The same seed gives the same picture. Unset: random."
    )


class TextToImage(LongModel[Prompt, Image.Image]):
    """A diffusion model of Noto emoji on colours, or the diffusers pipeline that `source` names."""

    version = "1.0.0"
    licence = "Apache-2.0"  # as the emoji, which the weights reproduce
    weights = "vitrine-emoji-demo-1"
    summary = "A demo: draws what a prompt says, an emoji on a colour; or runs your own pipeline."
    params: ClassVar[type[Params]] = Prompt
    images = ()
    result: ClassVar[type[Image.Image]] = Image.Image

    def load(self) -> None:
        """Read the demo's weights, or the pipeline."""
        self._generator: Demo | DiffusersPipeline
        if self.source is None:
            self._generator = Demo()
        else:
            self._generator = load_pipeline(self.source)
            self.backend, self.weights = "diffusers", self._generator.name
            self.licence = "NOASSERTION"  # SPDX for: its model card says

    def steps(
        self, images: Mapping[str, Image.Image], params: Prompt
    ) -> Generator[float, None, Image.Image]:
        """Returns an RGB picture: 256 x 256 from the demo, of its own size from a pipeline."""
        return self._generator.draw(
            params.prompt,
            params.negative_prompt,
            params.steps,
            params.guidance,
            secrets.randbelow(MAX_SEED + 1) if params.seed is None else params.seed,
        )
