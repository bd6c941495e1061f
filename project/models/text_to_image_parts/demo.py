"""The demo of text_to_image: three small nets, trained by training/text_to_image.py."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from project.errors import ConfigurationError, InvalidInput
from project.models.base import Array
from project.models.nets.denoiser import Denoiser
from project.models.nets.latent_decoder import NUMBERS, LatentDecoder
from project.models.nets.prompt_encoder import PromptEncoder
from project.models.text_to_image_parts.sampling import sample
from project.models.text_to_image_parts.tokenizer import LENGTH, Tokenizer

WEIGHTS = Path(__file__).parents[1] / "files" / "text_to_image.npz"
SIDE = 256  # pixels; the nets draw 64, which are scaled up
GUIDANCE = 2.0  # in a short trial 1 and 5 drew fewer unseen pairs right; 1.5 and 3 nearly as many
WORD_KINDS = "subjects", "colours", "fillers"  # in the order of their tokens
FULL = 255


class Demo:
    """Draws an emoji on a colour."""

    def __init__(self, path: Path = WEIGHTS) -> None:
        """Read the weights. Raises ConfigurationError where they do not fit these nets."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            kinds = {kind: arrays.pop(kind).tolist() for kind in WORD_KINDS}
            self._things = arrays.pop("things").tolist()
            self._colours = kinds["colours"]
            self._meaningful = {*kinds["subjects"], *kinds["colours"]}
            self._tokenizer = Tokenizer([word for kind in kinds.values() for word in kind])
            self._encoder = PromptEncoder(len(self._tokenizer), LENGTH)
            self._denoiser = Denoiser(NUMBERS)
            self._painter = LatentDecoder()
            nets = {
                "encoder": self._encoder,
                "denoiser": self._denoiser,
                "painter": self._painter,
            }
            nn.ModuleDict(nets).eval().load_state_dict(
                {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigurationError(
                f"{path.name} does not hold the weights of the demo; restore it, or make it again "
                f"with python -m training.text_to_image ({type(error).__name__})"
            ) from error

    def draw(
        self, prompt: str, negative_prompt: str, steps: int, guidance: float | None, seed: int
    ) -> Generator[float, None, Image.Image]:
        """Yield the share done after each step; return an RGB picture of SIDE pixels a side.

        guidance: None for the demo's own. Raises InvalidInput where it knows no word of the prompt.
        """
        if self._meaningful.isdisjoint(self._tokenizer.read(prompt)):
            raise InvalidInput(
                "this demo knows no word of the prompt; write such as: a fox on blue. It draws "
                f"{', '.join(self._things)}; on {', '.join(self._colours)}",
                fields={"prompt": "has no word that the demo knows"},
            )
        tokens = [self._tokenizer.tokens(text) for text in (prompt, negative_prompt)]
        with torch.inference_mode():
            wanted, unwanted = self._encoder(torch.tensor(tokens)).split(1)
        noise = torch.randn(1, NUMBERS, generator=torch.Generator().manual_seed(seed))
        strength = GUIDANCE if guidance is None else guidance
        clean = noise
        for step, denoised in enumerate(
            sample(self._denoiser, noise, wanted, unwanted, strength, steps), start=1
        ):
            clean = denoised
            yield step / (steps + 1)  # painting counts as one more
        with torch.inference_mode():
            painted = self._painter(self._painter.rough(clean))[0]  # (3, h, w), about -1 to 1
        return to_image(painted.numpy())


def to_image(painted: Array) -> Image.Image:
    """Convert (3, h, w), about -1 to 1, to an RGB image of SIDE pixels a side."""
    pixels = ((painted.transpose(1, 2, 0) + 1) * (FULL / 2)).clip(0, FULL).round()
    image = Image.fromarray(pixels.astype(np.uint8))
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
