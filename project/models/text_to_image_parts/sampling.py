"""The sampler of the demo: DDIM with classifier-free guidance, one step at a time."""

from collections.abc import Callable, Generator

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]


def sample(
    denoise: Denoise, noise: Tensor, prompt: Tensor, negative: Tensor, guidance: float, steps: int
) -> Generator[Tensor, None, None]:
    """Yield after each step the denoised estimate (n, numbers); the last one is the result.

    denoise: (noisy, time, prompt) → clean, where noisy = (1 - time) * clean + time * noise.
    noise: (n, numbers). prompt, negative: (n, width), encoded; `negative` may be the empty prompt.
    With a guidance of 1 `negative` does not count (Ho and Salimans 2022, arXiv:2207.12598). The
    steps are those of DDIM without noise (Song et al. 2020, arXiv:2010.02502).
    """
    noisy = noise
    both = torch.cat([prompt, negative])
    for step in range(steps):
        time, after = 1 - step / steps, 1 - (step + 1) / steps
        with (
            torch.inference_mode()
        ):  # not around the yield: it would be in force in the consumer too
            times = noise.new_full((len(both),), time)
            wanted, unwanted = denoise(noisy.repeat(2, 1), times, both).chunk(2)
            clean = unwanted + guidance * (wanted - unwanted)
            noisy = clean + after / time * (noisy - clean)
        yield clean
