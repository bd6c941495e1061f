"""From noise to a picture: DDIM with classifier-free guidance, a step at a time."""

from collections.abc import Callable, Generator

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]


def sample(
    denoise: Denoise, noise: Tensor, prompt: Tensor, away: Tensor, guidance: float, steps: int
) -> Generator[Tensor, None, None]:
    """Yield after each step what is clean as it is seen so far; the last one is the result.

    denoise: (noisy, time, prompt) → clean, where noisy = (1 - time) * clean + time * noise.
    noise: (n, numbers). prompt, away: (n, width), what to draw and what to lead away from: the
    empty prompt, or a negative one. With a guidance of 1 `away` does not count (Ho and Salimans
    2022, arXiv:2207.12598). The steps are those of DDIM without noise (Song et al. 2020,
    arXiv:2010.02502).
    """
    noisy = noise
    both = torch.cat([prompt, away])
    for step in range(steps):
        time, after = 1 - step / steps, 1 - (step + 1) / steps
        with torch.inference_mode():  # not around the yield: it would hold in the caller as well
            times = noise.new_full((len(both),), time)
            wanted, unwanted = denoise(noisy.repeat(2, 1), times, both).chunk(2)
            clean = unwanted + guidance * (wanted - unwanted)
            noisy = clean + after / time * (noisy - clean)
        yield clean
