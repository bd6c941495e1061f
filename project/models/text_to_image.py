"""text_to_image: a picture from a prompt, by a small demo or by a diffusers pipeline."""

import secrets

from project.models.base import (
    Field,
    NoInputs,
    Params,
    Picture,
    StepModel,
    Steps,
    Weights,
    file_of_ours,
)

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


class TextToImage(StepModel[NoInputs, Picture, Prompt]):
    """A diffusion model of Noto emoji on colours, or the diffusers pipeline that `source` names."""

    version = "1.0.0"
    licence = "Apache-2.0"  # as the emoji, which the weights reproduce
    weights = Weights("vitrine-emoji-demo-1", file_of_ours("text_to_image.npz"))
    summary = "A demo: draws what a prompt says, an emoji on a colour; or runs your own pipeline."
    background = True

    def load(self) -> None:
        """Read the demo's weights, or the pipeline."""
        from project.models.text_to_image_parts import demo, diffusers_pipeline

        self._generator: demo.Demo | diffusers_pipeline.DiffusersPipeline
        if self.source is None:
            self._generator = demo.Demo()
        else:
            self._generator = diffusers_pipeline.load_pipeline(self.source)
            self.backend, self.weights = "diffusers", Weights(self._generator.name)
            self.licence = "NOASSERTION"  # SPDX for: its model card says

    def steps(self, inputs: NoInputs, params: Prompt) -> Steps[Picture]:
        """Returns an RGB picture: 256 x 256 from the demo, of its own size from a pipeline."""
        return (
            yield from self._generator.draw(
                params.prompt,
                params.negative_prompt,
                params.steps,
                params.guidance,
                secrets.randbelow(MAX_SEED + 1) if params.seed is None else params.seed,
            )
        )
